/* What each *.simd.cpp exports in the namespace of its instruction set (macro PM_ISA). */
#pragma once
#include "isa.h"

namespace pm {

struct MatmulTable {
  int32_t panel;
  void (*matmul)(const MatmulJob &job);
  void (*dequantise_row)(int32_t type, const uint8_t *row, int64_t cols, float *out);
};

struct VectorTable {
  void (*quantise_small)(const float *x, int64_t cols, uint8_t *out);
  void (*quantise_super)(const float *x, int64_t cols, uint8_t *out);
  void (*store_halves)(const float *x, int64_t n, uint8_t *out);
  void (*store_q8)(const float *x, int64_t n, uint8_t *out);
  void (*rms_norm)(const float *x, const float *weight, float *out, int32_t cols, float eps);
  void (*gated)(const float *gate, const float *up, float *out, int64_t n, int32_t activation);
};

struct AttentionTable {
  void (*segment)(const AttentionJob &job, int32_t token, int32_t tokens, int32_t kv_head, int32_t segment,
                  const AttentionState &state, float *scratch);
  void (*merge)(const AttentionState &into, const AttentionState &from, int32_t n, int32_t padded);
};

#define PM_DECLARE_TABLES(isa)                                                                                          \
  namespace isa {                                                                                                       \
  extern const MatmulTable matmul_table;                                                                                \
  extern const VectorTable vector_table;                                                                                \
  extern const AttentionTable attention_table;                                                                          \
  }
PM_DECLARE_TABLES(portable)
PM_DECLARE_TABLES(avx2)
PM_DECLARE_TABLES(avx512)
PM_DECLARE_TABLES(neon)
PM_DECLARE_TABLES(neon_dotprod)

} // namespace pm
