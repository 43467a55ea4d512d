/* PocketMoE compute kernels: plain C interface, no dependencies.
 *
 * Conventions
 *  - Activations are float32, row-major: row t of an activation starts at x + t * stride (strides in floats).
 *  - A weight matrix maps `cols` inputs to `rows` outputs: out[r] = sum_c W[r][c] * x[c].
 *  - The result of every kernel is the same for every number of threads, and the result for one token does
 *    not depend on which other tokens share its batch.
 *  - Weight types are the ggml type numbers found in GGUF files.
 *  - No function allocates inside a token's way except scratch that grows to a high-water mark in the pool.
 */
#ifndef POCKETMOE_KERNELS_H
#define POCKETMOE_KERNELS_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define PM_KERNELS_ABI 1

enum pm_type { /* ggml type numbers */
  PM_F32 = 0, PM_F16 = 1, PM_Q4_0 = 2, PM_Q4_1 = 3, PM_Q5_0 = 6, PM_Q5_1 = 7, PM_Q8_0 = 8,
  PM_Q2_K = 10, PM_Q3_K = 11, PM_Q4_K = 12, PM_Q5_K = 13, PM_Q6_K = 14,
  PM_IQ4_NL = 20, PM_BF16 = 30, PM_MXFP4 = 39
};
enum pm_layout { PM_ROWS = 0 /* GGUF's own: row after row of blocks */ };
enum pm_activation { PM_RELU = 0, PM_SILU = 1 };
enum pm_gating { PM_SOFTMAX = 1, PM_SIGMOID = 2, PM_SOFTMAX_SELECTED = 3 };
enum pm_rope_pairing { PM_ROPE_ADJACENT = 0 /* (2i, 2i+1) */, PM_ROPE_HALVES = 1 /* (i, i + n/2), NEOX */ };

typedef struct pm_pool pm_pool;

/* One weight matrix, 32 bytes. */
typedef struct pm_matrix {
  uint64_t data;   /* address, at least 32-byte aligned */
  int64_t rows;    /* outputs */
  int64_t cols;    /* inputs; a multiple of the type's block size */
  int32_t type;    /* enum pm_type */
  int32_t layout;  /* enum pm_layout */
} pm_matrix;

/* One expert's work in pm_experts_ffn, 56 bytes. */
typedef struct pm_expert_job {
  uint64_t gate, up, down;  /* addresses of the three matrices */
  /* Addresses of the int32 state words of the three matrices (0 pending, 1 ready, < 0 failed); the three may be
   * one and the same word (an expert read as one piece). All 0 when the expert is resident. */
  uint64_t gate_ready, up_ready, down_ready;
  int32_t first, count;     /* its range in tokens[] / targets[] */
} pm_expert_job;

typedef struct pm_expert_shape { /* shared by all experts of a layer; 64 bytes */
  int64_t width;            /* model width: gate/up cols, down rows */
  int64_t hidden;           /* expert FFN width: gate/up rows, down cols */
  int32_t gate_type, up_type, down_type;
  int32_t gate_layout, up_layout, down_layout;
  int32_t activation;       /* enum pm_activation */
  int32_t skip;             /* 1: skip rows whose activation is exactly zero (lossless, ReLU only) */
  int64_t reserved[2];
} pm_expert_shape;

typedef struct pm_expert_stats { /* accumulated, 32 bytes */
  int64_t stall_ns;         /* time with no computable work, waiting for flash */
  int64_t late;             /* experts the computation had to wait for */
  int64_t rows_total;       /* gate rows computed (per token) */
  int64_t rows_active;      /* of those, rows with a non-zero activation */
} pm_expert_stats;

int32_t pm_kernels_abi(void);
/* Name of the instruction set in use: "portable", "avx2", "avx512", "neon", "neon-dotprod".
 * POCKETMOE_ISA forces one that this CPU supports; an unsupported one is ignored and the best is used. */
const char *pm_isa(void);

/* Anonymous zeroed pages, 4 KiB aligned (huge pages advised from 2 MiB up); 0 when there is no memory. */
void *pm_alloc(size_t bytes);
void pm_release(void *p, size_t bytes);

/* A pool of `threads` threads, the caller being one of them; parked when idle. 0 on failure. */
pm_pool *pm_pool_create(int32_t threads);
void pm_pool_destroy(pm_pool *pool);
/* Bytes of scratch the pool holds now. */
int64_t pm_pool_scratch(const pm_pool *pool);

/* out[t * out_stride + o_m + r] = matrix_m row r · x[t], matrices concatenated in order (o_m = rows before m).
 * All matrices have the same cols. Integer-dot types quantise x once: Q8_0 blocks for 32-block types
 * (scale = amax/127 rounded to f16, q = round-half-away(x * 127/amax)), 256-blocks (Q8_K rule) for K types;
 * F32, F16 and BF16 weights use float32 activations. */
void pm_linear(pm_pool *pool, const pm_matrix *matrices, int32_t count, const float *x, int64_t x_stride,
               float *out, int64_t out_stride, int32_t tokens);

/* out[t * cols + c] = table[ids[t]][c]; ids must be valid rows. */
void pm_embed(const pm_matrix *table, const int32_t *ids, int32_t tokens, float *out);

/* For each token t and group g: y = x / sqrt(mean(x²) + eps) * weight, over `cols` floats at
 * x + t * x_stride + g * cols. The sum of squares is taken in double. out may be x. */
void pm_rms_norm(pm_pool *pool, const float *x, int64_t x_stride, const float *weight, float *out, int64_t out_stride,
                 int32_t tokens, int32_t groups, int32_t cols, float eps);

/* Rotary embedding in place at positions pos0 + t. theta starts at pos * freq_scale and is multiplied by
 * freq_base^(-2/dims) pair after pair, in float32. factors: dims/2 divisors or 0. */
void pm_rope(pm_pool *pool, float *x, int64_t stride, int32_t tokens, int32_t heads, int32_t head_size, int32_t dims,
             int32_t pos0, float freq_base, float freq_scale, int32_t pairing, const float *factors);

/* Appends tokens' keys and values to one layer's cache at rows pos0 + t. A cache row is kv_heads * head_size
 * elements of `type` (PM_F32, PM_F16 or PM_Q8_0). */
void pm_kv_store(const float *k, const float *v, int64_t stride, void *cache_k, void *cache_v, int32_t type,
                 int32_t tokens, int32_t pos0, int32_t kv_heads, int32_t head_size);

/* Causal grouped-query attention. Query t at position p = pos0 + t sees positions j <= p, and with window > 0
 * only p - j < window. out[t][h * head_size + d]. Softmax in float32 with the maximum subtracted. */
void pm_attention(pm_pool *pool, const float *q, int64_t q_stride, const void *cache_k, const void *cache_v,
                  int32_t type, float *out, int64_t out_stride, int32_t tokens, int32_t pos0, int32_t heads,
                  int32_t kv_heads, int32_t head_size, int32_t window, float scale);

/* The common router pipeline on logits [tokens][experts]: gating -> + bias (selection only, may be 0) ->
 * keep groups_used of groups (best sum of top-2) -> top-k -> unbiased weights
 * -> / max(sum, 6.103515625e-5) when norm -> * scale. ids and weights are [tokens][k], best first.
 * Equal scores come in the order in which ggml's sort (the GNU introsort over all experts) leaves them, and sigmoid
 * is 1 / (1 + expf(-x)) with every step in float32: saturated routers have many equal scores, and the choice among
 * them must be llama.cpp's. NaN scores count as -infinity. */
void pm_route(const float *logits, int32_t tokens, int32_t experts, int32_t k, int32_t gating, const float *bias,
              int32_t groups, int32_t groups_used, int32_t norm, float scale, int32_t *ids, float *weights);

/* For each job j and each i in [first, first + count):
 *   y[targets[i]] = down( activation(gate · x[tokens[i]]) * (up · x[tokens[i]]) )
 * Jobs whose data is there are computed first; the others as their matrices land.
 * Returns 0, or 1 + index of a failed job (its ready word < 0); then y is undefined, but no job of the call
 * is still being read by the kernel. */
int32_t pm_experts_ffn(pm_pool *pool, const pm_expert_shape *shape, const pm_expert_job *jobs, int32_t count,
                       const int32_t *tokens, const int32_t *targets, const float *x, int64_t x_stride,
                       float *y, int64_t y_stride, pm_expert_stats *stats);

/* x[t] += scale * sum_j weights[t * k + j] * y[t * k + j], summed in the order of j. */
void pm_combine(pm_pool *pool, const float *y, int64_t y_stride, const float *weights, int32_t tokens, int32_t k,
                int32_t width, float scale, float *x, int64_t x_stride);

/* out[t][i] = activation(gu[t][i]) * gu[t][hidden + i] */
void pm_gated(pm_pool *pool, const float *gate_up, int64_t stride, float *out, int64_t out_stride, int32_t tokens,
              int32_t hidden, int32_t activation);

/* y[i] += scale * x[i]; y[i] *= scale. */
void pm_add_scaled(const float *x, float scale, float *y, int64_t n);
void pm_scale(float *y, float scale, int64_t n);
/* Index of the largest value, the lowest index on ties; NaN never wins. -1 if all are NaN. */
int32_t pm_argmax(const float *x, int32_t n);

/* Blocks until *word != 0 or timeout_ms passes (< 0: for ever); returns the word. */
int32_t pm_wait(const int32_t *word, int32_t timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
