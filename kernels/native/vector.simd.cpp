/* Kernels over one activation row: quantisation, norm, gated activation, cache rows. */
#include "activation.h"
#include "exports.h"
#include "simd.h"
#include "simd_tables.h"

#include <math.h>

namespace {

#if !defined(PM_PLAIN_INTEGERS)

/* The bounds keep NaN and infinity from becoming undefined integers. */
static inline VF bounded(VF v, float low) { return vf_min(vf_max(v, vf_set(low)), vf_set(127.0f)); }

/* 32 values to int8 with one scale; returns the bits of the f16 scale. */
static inline uint16_t quantise_block(const float *x, int8_t *q, int32_t *sum) {
  VF high = vf_set(0.0f);
  for (int i = 0; i < 32; i += NF) high = vf_max(vf_abs(vf_load(x + i)), high);
  const float largest = vf_highest(high);
  const VF inverse = vf_set(largest != 0.0f ? 127.0f / largest : 0.0f);
  VI total = vi_set(0);
  for (int i = 0; i < 32; i += NF) {
    const VI v = vi_round_away(bounded(vf_load(x + i) * inverse, -127.0f));
    vi_store_bytes(q + i, v);
    total = vi_add(total, v);
  }
  *sum = vi_sum(total);
  return float_to_half(largest / 127.0f);
}

/* 256 values to int8 with one scale, which is returned, and the sums of each 16. */
static inline float quantise_super_block(const float *x, int8_t *q, int16_t *sum16) {
  VF high = vf_set(0.0f), low = vf_set(0.0f);
  for (int i = 0; i < 256; i += NF) {
    const VF v = vf_load(x + i);
    high = vf_max(v, high);
    low = vf_max(vf_set(0.0f) - v, low);
  }
  const float most = vf_highest(high), least = vf_highest(low);
  /* The sign of the scale makes the first of the largest values -127. */
  float largest = most > least ? most : -least;
  if (most == least)
    for (int i = 0; i < 256; i++)
      if (fabsf(x[i]) == most) {
        largest = x[i];
        break;
      }
  const float inverse = largest != 0.0f ? -127.0f / largest : 0.0f;
  for (int s = 0; s < 16; s++) {
    VI total = vi_set(0);
    for (int i = 0; i < 16; i += NF) {
      const VI v = vi_round_even(bounded(vf_load(x + s * 16 + i) * vf_set(inverse), -128.0f));
      vi_store_bytes(q + s * 16 + i, v);
      total = vi_add(total, v);
    }
    sum16[s] = (int16_t)vi_sum(total);
  }
  return largest != 0.0f ? 1.0f / inverse : 0.0f;
}

#else

static inline float bounded(float y, float low) { return y > 127.0f ? 127.0f : y > low ? y : low; }

static inline uint16_t quantise_block(const float *x, int8_t *q, int32_t *sum) {
  float largest = 0.0f;
  for (int i = 0; i < 32; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
  const float inverse = largest != 0.0f ? 127.0f / largest : 0.0f;
  int32_t total = 0;
  for (int i = 0; i < 32; i++) {
    const float y = bounded(x[i] * inverse, -127.0f);
    const int32_t whole = (int32_t)y;
    const float rest = y - (float)whole; /* exact: ties go away from zero */
    const int32_t v = whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
    q[i] = (int8_t)v;
    total += v;
  }
  *sum = total;
  return float_to_half(largest / 127.0f);
}

static inline float quantise_super_block(const float *x, int8_t *q, int16_t *sum16) {
  float magnitude = 0.0f, largest = 0.0f;
  for (int i = 0; i < 256; i++)
    if (fabsf(x[i]) > magnitude) {
      magnitude = fabsf(x[i]);
      largest = x[i];
    }
  const float inverse = largest != 0.0f ? -127.0f / largest : 0.0f;
  for (int s = 0; s < 16; s++) {
    int32_t total = 0;
    for (int i = s * 16; i < s * 16 + 16; i++) {
      /* The low bits of y + 1.5 * 2^23 are y rounded to nearest even. */
      const float y = bounded(x[i] * inverse, -128.0f) + 12582912.0f;
      const int32_t v = (int32_t)(bits_of_float(y) & 0x7fffffu) - 0x400000;
      q[i] = (int8_t)v;
      total += v;
    }
    sum16[s] = (int16_t)total;
  }
  return largest != 0.0f ? 1.0f / inverse : 0.0f;
}

#endif

static void quantise_small(const float *x, int64_t cols, uint8_t *out) {
  int8_t *q = (int8_t *)out;
  float *d = (float *)(out + SmallActivation::d_offset(cols));
  int32_t *sum = (int32_t *)(out + SmallActivation::sum_offset(cols));
  for (int64_t b = 0; b < cols / 32; b++)
    d[b] = half_to_float(quantise_block(x + b * 32, q + b * 32, &sum[b]));
}

static void quantise_super(const float *x, int64_t cols, uint8_t *out) {
  int8_t *q = (int8_t *)out;
  float *d = (float *)(out + SuperActivation::d_offset(cols));
  int16_t *sum16 = (int16_t *)(out + SuperActivation::sum16_offset(cols));
  int16_t *sum32 = (int16_t *)(out + SuperActivation::sum32_offset(cols));
  for (int64_t b = 0; b < cols / 256; b++) d[b] = quantise_super_block(x + b * 256, q + b * 256, sum16 + b * 16);
  for (int64_t s = 0; s < cols / 32; s++) sum32[s] = (int16_t)(sum16[2 * s] + sum16[2 * s + 1]);
}

static void store_halves(const float *x, int64_t n, uint8_t *out) {
  int64_t i = 0;
  for (; i + NF <= n; i += NF) vf_store_halves(out + 2 * i, vf_load(x + i));
  for (; i < n; i++) {
    const uint16_t h = float_to_half(x[i]);
    memcpy(out + 2 * i, &h, 2);
  }
}

static void store_q8(const float *x, int64_t n, uint8_t *out) {
  for (int64_t b = 0; b < n / 32; b++) {
    int32_t sum;
    const uint16_t d = quantise_block(x + b * 32, (int8_t *)(out + b * 34 + 2), &sum);
    memcpy(out + b * 34, &d, 2);
  }
}

static void rms_norm(const float *x, const float *weight, float *out, int32_t cols, float eps) {
  double lane[8] = {};
  int32_t i = 0;
  for (; i + 8 <= cols; i += 8)
    for (int l = 0; l < 8; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
  for (int l = 0; i < cols; i++, l++) lane[l] += (double)x[i] * (double)x[i];
  const double sum = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  const float mean = (float)(sum / cols);
  const float scale = 1.0f / sqrtf(mean + eps);
  for (i = 0; i < cols; i++) out[i] = x[i] * scale * weight[i];
}

static inline VF silu(VF x) { return vf_div(x, vf_set(1.0f) + vf_exp(vf_set(0.0f) - x)); }

static void gated(const float *gate, const float *up, float *out, int64_t n, int32_t activation) {
  if (activation == PM_RELU) {
    for (int64_t i = 0; i < n; i++) out[i] = (gate[i] > 0.0f ? gate[i] : 0.0f) * up[i];
    return;
  }
  int64_t i = 0;
  for (; i + NF <= n; i += NF) vf_store(out + i, silu(vf_load(gate + i)) * vf_load(up + i));
  if (i < n) {
    float g[NF] = {}, u[NF] = {}, o[NF];
    for (int64_t j = i; j < n; j++) {
      g[j - i] = gate[j];
      u[j - i] = up[j];
    }
    vf_store(o, silu(vf_load(g)) * vf_load(u));
    for (int64_t j = i; j < n; j++) out[j] = o[j - i];
  }
}

} // namespace

namespace pm::PM_ISA {
const VectorTable vector_table = {quantise_small, quantise_super, store_halves, store_q8, rms_norm, gated};
}
