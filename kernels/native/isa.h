/* What is compiled once per instruction set, as a table of functions chosen at run time. */
#pragma once
#include <stdint.h>

namespace pm {

/* How a weight type wants its activations. */
enum class Activations { Float, Small /* Q8_0 blocks of 32 */, Super /* Q8_K blocks of 256 */ };

/* Rows [first, last) of a matrix times n activations. */
struct MatmulJob {
  int32_t type;
  const uint8_t *data; /* row 0 */
  int64_t row_bytes, cols;
  int64_t first, last;
  const int32_t *row_list; /* null, or the row number of each index in [first, last) */
  const uint8_t *const *xs; /* activations in the type's form (quantise, or float rows) */
  float *const *outs;       /* row r of activation i goes to outs[i][out_offset + r] */
  int64_t out_offset;
  int32_t n;
  uint8_t *scratch; /* MATMUL_SCRATCH bytes, 64-byte aligned */
};

constexpr int64_t MATMUL_SCRATCH = 128 << 10;

struct AttentionJob {
  const float *q;
  int64_t q_stride;
  const uint8_t *cache_k, *cache_v;
  int32_t type;
  int32_t pos0, heads, kv_heads, head_size, window;
  float scale;
};

/* Softmax is taken over segments of positions and merged in their order, so that long contexts can be split
 * over threads without the split showing in the result. */
constexpr int32_t ATTENTION_SEGMENT = 512;

/* Softmax state of `n` queries over some positions: maximum, sum of exponentials, weighted sum of values. */
struct AttentionState {
  float *max, *sum; /* [n] */
  float *value;     /* [n][padded head size] */
};

/* Floats of scratch that attention_segment needs for n queries. */
constexpr int32_t ATTENTION_CHUNK = 32;
static inline int64_t attention_padded(int32_t head_size) { return ((int64_t)head_size + 15) & ~(int64_t)15; }
static inline int64_t attention_scratch(int32_t n, int32_t head_size) {
  return attention_padded(head_size) * (n + ATTENTION_CHUNK) + (int64_t)(n + 4) * ATTENTION_CHUNK + 64;
}

struct MatmulTable;
struct VectorTable;
struct AttentionTable;

struct Isa {
  const char *name;
  const MatmulTable *matmul;
  const VectorTable *vector;
  const AttentionTable *attention;
};

/* The best one this CPU supports, or the one POCKETMOE_ISA names. */
const Isa &isa();

} // namespace pm
