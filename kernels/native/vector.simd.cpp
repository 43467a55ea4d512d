/* Kernels over one activation row: quantisation, norm, gated activation, cache rows. */
#include "activation.h"
#include "exports.h"
#include "simd.h"
#include "simd_tables.h"

#include <math.h>

namespace {

/* Largest magnitude of n values (a multiple of 16); NaN is ignored. */
static inline float largest_magnitude(const float *x, int64_t n) {
  float lane[16] = {};
  for (int64_t i = 0; i < n; i += 16)
    for (int l = 0; l < 16; l++) {
      const float a = fabsf(x[i + l]);
      lane[l] = a > lane[l] ? a : lane[l];
    }
  for (int half = 8; half > 0; half /= 2)
    for (int l = 0; l < half; l++) lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
  return lane[0];
}

/* Rounds half away from zero; anything that is not in [-127, 127] is clamped into it. */
static inline int32_t round_away(float y) {
  y = y > 127.0f ? 127.0f : y >= -127.0f ? y : -127.0f;
  const int32_t whole = (int32_t)y;
  const float rest = y - (float)whole;
  return whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
}

/* 32 values to int8 with one scale; returns the bits of the f16 scale. */
static inline uint16_t quantise_block(const float *x, int8_t *q) {
  const float largest = largest_magnitude(x, 32);
  const float inverse = largest != 0.0f ? 127.0f / largest : 0.0f;
  for (int i = 0; i < 32; i++) q[i] = (int8_t)round_away(x[i] * inverse);
  return float_to_half(largest / 127.0f);
}

static void quantise_small(const float *x, int64_t cols, uint8_t *out) {
  int8_t *q = (int8_t *)out;
  float *d = (float *)(out + SmallActivation::d_offset(cols));
  int32_t *sum = (int32_t *)(out + SmallActivation::sum_offset(cols));
  for (int64_t b = 0; b < cols / 32; b++) {
    d[b] = half_to_float(quantise_block(x + b * 32, q + b * 32));
    int32_t s = 0;
    for (int i = 0; i < 32; i++) s += q[b * 32 + i];
    sum[b] = s;
  }
}

static void quantise_super(const float *x, int64_t cols, uint8_t *out) {
  int8_t *all = (int8_t *)out;
  float *d = (float *)(out + SuperActivation::d_offset(cols));
  int16_t *sum16 = (int16_t *)(out + SuperActivation::sum16_offset(cols));
  int16_t *sum32 = (int16_t *)(out + SuperActivation::sum32_offset(cols));
  for (int64_t b = 0; b < cols / 256; b++) {
    const float *v = x + b * 256;
    int8_t *q = all + b * 256;
    const float largest = largest_magnitude(v, 256);
    if (largest == 0.0f) {
      memset(q, 0, 256);
      d[b] = 0.0f;
    } else {
      /* The sign of the scale makes the first largest value -127. */
      float signed_largest = largest;
      for (int i = 0; i < 256; i++)
        if (fabsf(v[i]) == largest) {
          signed_largest = v[i];
          break;
        }
      const float inverse = -127.0f / signed_largest;
      for (int i = 0; i < 256; i++) {
        float y = v[i] * inverse;
        y = y > 127.0f ? 127.0f : y >= -128.0f ? y : -128.0f;
        /* The low bits of y + 1.5 * 2^23 are y rounded to nearest even. */
        const int32_t rounded = (int32_t)(bits_of_float(y + 12582912.0f) & 0x7fffffu) - 0x400000;
        q[i] = (int8_t)rounded;
      }
      d[b] = 1.0f / inverse;
    }
    for (int s = 0; s < 16; s++) {
      int32_t total = 0;
      for (int i = 0; i < 16; i++) total += q[s * 16 + i];
      sum16[b * 16 + s] = (int16_t)total;
    }
    for (int s = 0; s < 8; s++) sum32[b * 8 + s] = (int16_t)(sum16[b * 16 + 2 * s] + sum16[b * 16 + 2 * s + 1]);
  }
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
    const uint16_t d = quantise_block(x + b * 32, (int8_t *)(out + b * 34 + 2));
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
