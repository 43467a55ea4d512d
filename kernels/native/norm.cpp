/* Norm, rotary embedding and element-wise kernels. */
#include "exports.h"
#include "pool.h"
#include "simd_tables.h"

#include <math.h>
#include <string.h>

void pm_rms_norm(pm_pool *pool, const float *x, int64_t x_stride, const float *weight, float *out, int64_t out_stride,
                 int32_t tokens, int32_t groups, int32_t cols, float eps) {
  const auto one = [&](int32_t t, int32_t) {
    for (int32_t g = 0; g < groups; g++)
      pm::isa().vector->rms_norm(x + t * x_stride + (int64_t)g * cols, weight,
                                 out + t * out_stride + (int64_t)g * cols, cols, eps);
  };
  if (tokens < 8) for (int32_t t = 0; t < tokens; t++) one(t, 0);
  else pool->each(tokens, one);
}

/* Fills the pool's table unless it already is the one asked for. */
static const float *rope_table(pm_pool *pool, int32_t tokens, int32_t dims, int32_t pos0, float freq_base,
                               float freq_scale, const float *factors) {
  pm::RopeTable &table = pool->rope;
  const size_t half = (size_t)dims / 2;
  const bool same_factors =
      factors ? table.factors.size() == half && memcmp(table.factors.data(), factors, half * 4) == 0
              : table.factors.empty();
  if (tokens <= table.tokens && table.dims == dims && table.pos0 == pos0 && table.freq_base == freq_base &&
      table.freq_scale == freq_scale && same_factors)
    return table.values.data();
  if (factors) table.factors.assign(factors, factors + half);
  else table.factors.clear();
  table.values.resize((size_t)tokens * half * 2);
  table.tokens = tokens;
  table.dims = dims;
  table.pos0 = pos0;
  table.freq_base = freq_base;
  table.freq_scale = freq_scale;
  const float step = powf(freq_base, -2.0f / (float)dims);
  float *out = table.values.data();
  for (int32_t t = 0; t < tokens; t++) {
    float theta = (float)(pos0 + t) * freq_scale;
    for (size_t i = 0; i < half; i++) {
      const float angle = factors ? theta / factors[i] : theta;
      out[i] = cosf(angle);
      out[half + i] = sinf(angle);
      theta *= step;
    }
    out += 2 * half;
  }
  return table.values.data();
}

void pm_rope(pm_pool *pool, float *x, int64_t stride, int32_t tokens, int32_t heads, int32_t head_size, int32_t dims,
             int32_t pos0, float freq_base, float freq_scale, int32_t pairing, const float *factors) {
  if (tokens <= 0 || dims < 2) return;
  const int32_t half = dims / 2;
  const float *table = rope_table(pool, tokens, dims, pos0, freq_base, freq_scale, factors);
  const auto one = [&](int32_t t, int32_t) {
    const float *cosine = table + (int64_t)t * dims, *sine = cosine + half;
    for (int32_t h = 0; h < heads; h++) {
      float *v = x + t * stride + (int64_t)h * head_size;
      if (pairing == PM_ROPE_HALVES) {
        float *a = v, *b = v + half;
        for (int32_t i = 0; i < half; i++) {
          const float p = a[i], q = b[i];
          a[i] = p * cosine[i] - q * sine[i];
          b[i] = p * sine[i] + q * cosine[i];
        }
      } else {
        for (int32_t i = 0; i < half; i++) {
          const float p = v[2 * i], q = v[2 * i + 1];
          v[2 * i] = p * cosine[i] - q * sine[i];
          v[2 * i + 1] = p * sine[i] + q * cosine[i];
        }
      }
    }
  };
  if (tokens < 8) for (int32_t t = 0; t < tokens; t++) one(t, 0);
  else pool->each(tokens, one);
}

void pm_combine(pm_pool *pool, const float *y, int64_t y_stride, const float *weights, int32_t tokens, int32_t k,
                int32_t width, float scale, float *x, int64_t x_stride) {
  const auto one = [&](int32_t t, int32_t) {
    constexpr int32_t PIECE = 256;
    for (int32_t c = 0; c < width; c += PIECE) {
      const int32_t n = width - c < PIECE ? width - c : PIECE;
      float sum[PIECE] = {};
      for (int32_t j = 0; j < k; j++) {
        const float w = weights[(int64_t)t * k + j];
        const float *from = y + ((int64_t)t * k + j) * y_stride + c;
        for (int32_t i = 0; i < n; i++) sum[i] += w * from[i];
      }
      float *to = x + t * x_stride + c;
      for (int32_t i = 0; i < n; i++) to[i] += scale * sum[i];
    }
  };
  if (tokens < 8) for (int32_t t = 0; t < tokens; t++) one(t, 0);
  else pool->each(tokens, one);
}

void pm_gated(pm_pool *pool, const float *gate_up, int64_t stride, float *out, int64_t out_stride, int32_t tokens,
              int32_t hidden, int32_t activation) {
  const auto one = [&](int32_t t, int32_t) {
    const float *gate = gate_up + t * stride;
    pm::isa().vector->gated(gate, gate + hidden, out + t * out_stride, hidden, activation);
  };
  if (tokens < 8) for (int32_t t = 0; t < tokens; t++) one(t, 0);
  else pool->each(tokens, one);
}

void pm_add_scaled(const float *x, float scale, float *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] += scale * x[i];
}

void pm_scale(float *y, float scale, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

int32_t pm_argmax(const float *x, int32_t n) {
  constexpr int32_t W = 16;
  float lane[W];
  for (float &l : lane) l = -INFINITY;
  int32_t i = 0;
  for (; i + W <= n; i += W)
    for (int32_t l = 0; l < W; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
  float best = -INFINITY;
  for (const float l : lane) best = l > best ? l : best;
  for (; i < n; i++) best = x[i] > best ? x[i] : best;
  for (i = 0; i < n; i++)
    if (x[i] == best) return i;
  return -1;
}
