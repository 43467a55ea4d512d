/* Pieces that every user of matrix products shares. */
#pragma once
#include "isa.h"
#include "pool.h"
#include "weight_type.h"

namespace pm {

/* Bytes of one activation row in the form that a weight type wants; 0 for float32 rows as they are. */
int64_t activation_bytes(Activations form, int64_t cols);
/* Converts one row. */
void activation_row(Activations form, const float *x, int64_t cols, uint8_t *out);
/* How many rows a chunk of work should have, a multiple of the panel. */
int64_t chunk_rows(int64_t total_rows, int64_t row_bytes, int32_t tokens, int32_t threads);

} // namespace pm
