/* Block sizes of the weight types. */
#pragma once
#include "exports.h"
#include "isa.h"

namespace pm {

struct WeightType {
  int32_t block;       /* weights per block; 0: unknown type */
  int32_t block_bytes;
  Activations activations;
};

static inline WeightType weight_type(int32_t type) {
  switch (type) {
  case PM_F32: return {1, 4, Activations::Float};
  case PM_F16:
  case PM_BF16: return {1, 2, Activations::Float};
  case PM_Q4_0:
  case PM_IQ4_NL: return {32, 18, Activations::Small};
  case PM_Q4_1: return {32, 20, Activations::Small};
  case PM_Q5_0: return {32, 22, Activations::Small};
  case PM_Q5_1: return {32, 24, Activations::Small};
  case PM_Q8_0: return {32, 34, Activations::Small};
  case PM_MXFP4: return {32, 17, Activations::Small};
  case PM_Q2_K: return {256, 84, Activations::Super};
  case PM_Q3_K: return {256, 110, Activations::Super};
  case PM_Q4_K: return {256, 144, Activations::Super};
  case PM_Q5_K: return {256, 176, Activations::Super};
  case PM_Q6_K: return {256, 210, Activations::Super};
  default: return {0, 0, Activations::Float};
  }
}

static inline int64_t row_bytes(const WeightType &t, int64_t cols) { return cols / t.block * t.block_bytes; }

} // namespace pm
