/* One vector vocabulary per instruction set, so that each kernel is written once.
 *
 * Integer side: a panel holds LANES weight rows side by side. A VI holds four consecutive 8-bit weights of each
 * row (one 32-bit lane per row), so the dot product of a block needs no horizontal sum: lane = row. The integer
 * sum of a block is exact, and each row adds its blocks in order with one multiplication and one addition, so a
 * row's result has the same bits on every instruction set, in every batch and in every tile.
 * `dots` is the heart: sum[p][t] += the dot products of DWORDS VIs of panel p with int8 activations x[t] + at, times
 * the panel's scale when SCALED, for tiles of P panels by T tokens.
 * Float side: VF is a vector of NF floats.
 *
 * This header is compiled once per instruction set; everything in it has internal linkage.
 */
#pragma once
#include <stdint.h>
#include <string.h>

#include "half.h"

#if defined(PM_USE_AVX512) || defined(PM_USE_AVX2)
#if defined(PM_USE_AVX512) && defined(__GNUC__) && !defined(__clang__)
/* GCC's own AVX-512 headers use values that are undefined on purpose. */
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#elif defined(PM_USE_NEON)
#include <arm_neon.h>
#endif

/* These are the insides of loops: a call would cost more than the work, and compilers stop inlining in big files. */
#define PM_INLINE static inline __attribute__((always_inline))

namespace {

PM_INLINE int32_t load_i32(const void *p) {
  int32_t v;
  memcpy(&v, p, 4);
  return v;
}

#if defined(PM_USE_AVX512) || defined(PM_USE_AVX2)

/* Two bytes at `offset` of each of eight rows; reads 16, all of which must belong to the rows. */
PM_INLINE __m128i sixteen_bytes(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
PM_INLINE __m128i halves_of_eight(const uint8_t *const *p, int64_t o) {
  const __m128i a = _mm_unpacklo_epi16(sixteen_bytes(p[0] + o), sixteen_bytes(p[1] + o));
  const __m128i b = _mm_unpacklo_epi16(sixteen_bytes(p[2] + o), sixteen_bytes(p[3] + o));
  const __m128i c = _mm_unpacklo_epi16(sixteen_bytes(p[4] + o), sixteen_bytes(p[5] + o));
  const __m128i d = _mm_unpacklo_epi16(sixteen_bytes(p[6] + o), sixteen_bytes(p[7] + o));
  return _mm_unpacklo_epi64(_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
}
PM_INLINE __m256i words_of_eight(const uint8_t *const *p, int64_t offset) {
  return _mm256_setr_epi32(load_i32(p[0] + offset), load_i32(p[1] + offset), load_i32(p[2] + offset),
                           load_i32(p[3] + offset), load_i32(p[4] + offset), load_i32(p[5] + offset),
                           load_i32(p[6] + offset), load_i32(p[7] + offset));
}
/* Shuffle that puts bytes B and B + 1 of each lane into the low (or high) bytes of its two halves. */
PM_INLINE __m128i byte_pairs(int b, bool high) {
  const int32_t pair = b | (b + 1) << 16, hole = 0x00800080;
  const int32_t first = high ? pair << 8 | hole : pair | hole << 8;
  return _mm_add_epi8(_mm_set1_epi32(first), high ? _mm_setr_epi32(0, 0x04000400, 0x08000800, 0x0c000c00)
                                                  : _mm_setr_epi32(0, 0x00040004, 0x00080008, 0x000c000c));
}

#endif

#if defined(PM_USE_AVX512)

constexpr int LANES = 16;
constexpr bool WIDE_SIGNED = false; /* 8-bit weights are kept unsigned (+128) for VPDPBUSD */
using VI = __m512i;
using VF = __m512;
constexpr int NF = 16;

PM_INLINE VI vi_zero() { return _mm512_setzero_si512(); }
PM_INLINE VI vi_set(int32_t v) { return _mm512_set1_epi32(v); }
PM_INLINE VI vi_and(VI a, VI b) { return _mm512_and_si512(a, b); }
PM_INLINE VI vi_or(VI a, VI b) { return _mm512_or_si512(a, b); }
PM_INLINE VI vi_xor(VI a, VI b) { return _mm512_xor_si512(a, b); }
PM_INLINE VI vi_add(VI a, VI b) { return _mm512_add_epi32(a, b); }
PM_INLINE VI vi_sub(VI a, VI b) { return _mm512_sub_epi32(a, b); }
PM_INLINE VI vi_mul(VI a, VI b) { return _mm512_mullo_epi32(a, b); }
/* All ones where a > b. */
PM_INLINE VI vi_above(VI a, VI b) { return _mm512_maskz_set1_epi32(_mm512_cmpgt_epi32_mask(a, b), -1); }
template <int N> PM_INLINE VI vi_shr(VI a) { return _mm512_srli_epi32(a, N); }
template <int N> PM_INLINE VI vi_shl(VI a) { return _mm512_slli_epi32(a, N); }
PM_INLINE VF vf_of(VI a) { return _mm512_cvtepi32_ps(a); }
PM_INLINE VI vi_bytes(const uint8_t table[16], VI index) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table)), index);
}

/* 16 bytes at `offset` of each row, transposed: w[i] has bytes 4i..4i+3 of every row. */
PM_INLINE void vi_load16(const uint8_t *const *p, int64_t offset, VI *w) {
  VI r[4];
  for (int i = 0; i < 4; i++) {
    VI v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(p[i] + offset)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p[i + 4] + offset)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p[i + 8] + offset)), 2);
    r[i] = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p[i + 12] + offset)), 3);
  }
  const VI a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
  const VI c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
  w[0] = _mm512_unpacklo_epi64(a, c);
  w[1] = _mm512_unpackhi_epi64(a, c);
  w[2] = _mm512_unpacklo_epi64(b, d);
  w[3] = _mm512_unpackhi_epi64(b, d);
}

/* The low or high 16 bits of each lane as a half float. */
PM_INLINE VF vf_of_high_halves(VI v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16))); }
PM_INLINE VF vf_of_halves(VI low16) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(low16)); }
/* A half float at `offset` of each row, of which 16 bytes can be read. */
PM_INLINE VF vf_gather_halves(const uint8_t *const *p, int64_t offset) {
  return _mm512_cvtph_ps(_mm256_setr_m128i(halves_of_eight(p, offset), halves_of_eight(p + 8, offset)));
}
/* Four bytes at `offset` of each row. */
PM_INLINE VI vi_gather(const uint8_t *const *p, int64_t offset) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(words_of_eight(p, offset)), words_of_eight(p + 8, offset), 1);
}

/* Byte B of each lane as a sub-block scale; bytes B and B + 1 as a pair of 16-bit numbers. */
template <int B> PM_INLINE VI scale_unsigned(VI v) { return vi_and(vi_shr<8 * B>(v), vi_set(255)); }
template <int B> PM_INLINE VI scale_signed(VI v) {
  return _mm512_srai_epi32(_mm512_slli_epi32(v, 24 - 8 * B), 24);
}
template <int B> PM_INLINE VI pair_unsigned(VI v) {
  return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(byte_pairs(B, false)));
}
template <int B> PM_INLINE VI pair_signed(VI v) {
  return _mm512_srai_epi16(_mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(byte_pairs(B, true))), 8);
}

/* A sub-block scale as dots wants it, from a sign-extended 32-bit value per row. */
PM_INLINE VI scale_of(VI s) { return s; }

template <int MAX_Q, int DWORDS, bool SCALED, int P, int T>
PM_INLINE void dots(const VI *const *w, const VI *scale, const int8_t *const *x, int64_t at, VI (&sum)[P][T]) {
  VI h[P][T];
  for (int p = 0; p < P; p++)
    for (int t = 0; t < T; t++) h[p][t] = SCALED ? vi_zero() : sum[p][t];
  for (int i = 0; i < DWORDS; i++)
    for (int t = 0; t < T; t++) {
      const VI xi = vi_set(load_i32(x[t] + at + 4 * i));
      for (int p = 0; p < P; p++) h[p][t] = _mm512_dpbusd_epi32(h[p][t], w[p][i], xi);
    }
  for (int p = 0; p < P; p++)
    for (int t = 0; t < T; t++) sum[p][t] = SCALED ? vi_add(sum[p][t], vi_mul(h[p][t], scale[p])) : h[p][t];
}
/* Two 16-bit numbers per row times two of the activation. */
PM_INLINE VI dot_pairs(VI pairs, const int16_t *x) { return _mm512_madd_epi16(pairs, vi_set(load_i32(x))); }

PM_INLINE VF vf_load(const float *p) { return _mm512_loadu_ps(p); }
PM_INLINE void vf_store(float *p, VF v) { _mm512_storeu_ps(p, v); }
PM_INLINE VF vf_set(float v) { return _mm512_set1_ps(v); }
PM_INLINE VF vf_half() { return _mm512_set1_ps(0.5f); }
PM_INLINE VF vf_fma(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
PM_INLINE VF vf_max(VF a, VF b) { return _mm512_max_ps(a, b); } /* b when either is NaN */
PM_INLINE VF vf_min(VF a, VF b) { return _mm512_min_ps(a, b); }
PM_INLINE VF vf_abs(VF v) { return _mm512_abs_ps(v); }
PM_INLINE float vf_highest(VF v) { return _mm512_reduce_max_ps(v); }
PM_INLINE int32_t vi_sum(VI v) { return _mm512_reduce_add_epi32(v); }
PM_INLINE VI vi_round_even(VF v) { return _mm512_cvtps_epi32(v); }
PM_INLINE VI vi_round_away(VF v) {
  const VI whole = _mm512_cvttps_epi32(v);
  const VF rest = _mm512_sub_ps(v, _mm512_cvtepi32_ps(whole));
  const VI one = _mm512_set1_epi32(1);
  const VI up = _mm512_mask_add_epi32(whole, _mm512_cmp_ps_mask(rest, vf_half(), _CMP_GE_OQ), whole, one);
  return _mm512_mask_sub_epi32(up, _mm512_cmp_ps_mask(rest, _mm512_sub_ps(_mm512_setzero_ps(), vf_half()), _CMP_LE_OQ), up, one);
}
/* NF small numbers as bytes. */
PM_INLINE void vi_store_bytes(int8_t *p, VI v) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(v)); }
PM_INLINE VF vf_div(VF a, VF b) { return _mm512_div_ps(a, b); }
PM_INLINE VF vf_load_halves(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
PM_INLINE VF vf_load_bfloats(const uint8_t *p) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
PM_INLINE VF vf_load_bytes(const int8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
PM_INLINE void vf_store_halves(uint8_t *p, VF v) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
PM_INLINE VI vi_of_bits(VF v) { return _mm512_castps_si512(v); }
PM_INLINE VF vf_of_bits(VI v) { return _mm512_castsi512_ps(v); }
/* x where a >= b, else 0. */
PM_INLINE VF vf_keep_if_ge(VF a, VF b, VF x) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), x);
}
PM_INLINE __m256 vf_fold(VF v) {
  return _mm256_add_ps(_mm512_castps512_ps256(v),
                       _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)));
}
PM_INLINE void vf_reduce4(VF a, VF b, VF c, VF d, float *out) {
  const __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(vf_fold(a), vf_fold(b)), _mm256_hadd_ps(vf_fold(c), vf_fold(d)));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1)));
}

#elif defined(PM_USE_AVX2)

constexpr int LANES = 8;
constexpr bool WIDE_SIGNED = true;
using VI = __m256i;
using VF = __m256;
constexpr int NF = 8;

PM_INLINE VI vi_zero() { return _mm256_setzero_si256(); }
PM_INLINE VI vi_set(int32_t v) { return _mm256_set1_epi32(v); }
PM_INLINE VI vi_and(VI a, VI b) { return _mm256_and_si256(a, b); }
PM_INLINE VI vi_or(VI a, VI b) { return _mm256_or_si256(a, b); }
PM_INLINE VI vi_xor(VI a, VI b) { return _mm256_xor_si256(a, b); }
PM_INLINE VI vi_add(VI a, VI b) { return _mm256_add_epi32(a, b); }
PM_INLINE VI vi_sub(VI a, VI b) { return _mm256_sub_epi32(a, b); }
PM_INLINE VI vi_mul(VI a, VI b) { return _mm256_mullo_epi32(a, b); }
/* All ones where a > b. */
PM_INLINE VI vi_above(VI a, VI b) { return _mm256_cmpgt_epi32(a, b); }
template <int N> PM_INLINE VI vi_shr(VI a) { return _mm256_srli_epi32(a, N); }
template <int N> PM_INLINE VI vi_shl(VI a) { return _mm256_slli_epi32(a, N); }
PM_INLINE VF vf_of(VI a) { return _mm256_cvtepi32_ps(a); }
PM_INLINE VI vi_bytes(const uint8_t table[16], VI index) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table)), index);
}

PM_INLINE VI load_row_pair(const uint8_t *low, const uint8_t *high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                 _mm_loadu_si128((const __m128i *)high), 1);
}

/* 16 bytes at `offset` of each row, transposed: w[i] has bytes 4i..4i+3 of every row. */
PM_INLINE void vi_load16(const uint8_t *const *p, int64_t offset, VI *w) {
  const VI r0 = load_row_pair(p[0] + offset, p[4] + offset), r1 = load_row_pair(p[1] + offset, p[5] + offset);
  const VI r2 = load_row_pair(p[2] + offset, p[6] + offset), r3 = load_row_pair(p[3] + offset, p[7] + offset);
  const VI a = _mm256_unpacklo_epi32(r0, r1), b = _mm256_unpackhi_epi32(r0, r1);
  const VI c = _mm256_unpacklo_epi32(r2, r3), d = _mm256_unpackhi_epi32(r2, r3);
  w[0] = _mm256_unpacklo_epi64(a, c);
  w[1] = _mm256_unpackhi_epi64(a, c);
  w[2] = _mm256_unpacklo_epi64(b, d);
  w[3] = _mm256_unpackhi_epi64(b, d);
}

/* The low or high 16 bits of each lane as a half float. */
PM_INLINE VF vf_of_high_halves(VI v) {
  const VI packed = _mm256_packus_epi32(_mm256_srli_epi32(v, 16), _mm256_setzero_si256());
  return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}
PM_INLINE VF vf_of_halves(VI low16) {
  const VI packed = _mm256_packus_epi32(_mm256_and_si256(low16, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256());
  return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}
/* A half float at `offset` of each row, of which 16 bytes can be read. */
PM_INLINE VF vf_gather_halves(const uint8_t *const *p, int64_t offset) {
  return _mm256_cvtph_ps(halves_of_eight(p, offset));
}
/* Four bytes at `offset` of each row. */
PM_INLINE VI vi_gather(const uint8_t *const *p, int64_t offset) { return words_of_eight(p, offset); }

/* Byte B of each lane as a sub-block scale; bytes B and B + 1 as a pair of 16-bit numbers. */
template <int B> PM_INLINE VI pair_unsigned(VI v) {
  return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(byte_pairs(B, false)));
}
template <int B> PM_INLINE VI pair_signed(VI v) {
  return _mm256_srai_epi16(_mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(byte_pairs(B, true))), 8);
}
template <int B> PM_INLINE VI scale_unsigned(VI v) {
  constexpr int32_t both = B | 0x80 << 8 | B << 16 | (int32_t)(0x80u << 24);
  const __m128i shuffle = _mm_add_epi8(_mm_set1_epi32(both), _mm_setr_epi32(0, 0x00040004, 0x00080008, 0x000c000c));
  return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(shuffle));
}
template <int B> PM_INLINE VI scale_signed(VI v) {
  constexpr int32_t both = 0x80 | B << 8 | 0x80 << 16 | B << 24;
  const __m128i shuffle = _mm_add_epi8(_mm_set1_epi32(both), _mm_setr_epi32(0, 0x04000400, 0x08000800, 0x0c000c00));
  return _mm256_srai_epi16(_mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(shuffle)), 8);
}

/* A sub-block scale in both halves of each lane, so that one VPMADDWD sums a pair and scales it. */
PM_INLINE VI scale_of(VI s) {
  return _mm256_or_si256(_mm256_and_si256(s, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(s, 16));
}

template <int MAX_Q, int DWORDS, bool SCALED, int P, int T>
PM_INLINE void dots(const VI *const *w, const VI *scale, const int8_t *const *x, int64_t at, VI (&sum)[P][T]) {
  const VI ones = _mm256_set1_epi16(1);
  if constexpr (MAX_Q == 255) {
    /* |w| * (x with the sign of w): a pair of products just fits 16 bits, more do not. */
    for (int i = 0; i < DWORDS; i++) {
      VI magnitude[P];
      for (int p = 0; p < P; p++) magnitude[p] = _mm256_abs_epi8(w[p][i]);
      for (int t = 0; t < T; t++) {
        const VI xi = vi_set(load_i32(x[t] + at + 4 * i));
        for (int p = 0; p < P; p++) {
          const VI pair = _mm256_maddubs_epi16(magnitude[p], _mm256_sign_epi8(xi, w[p][i]));
          sum[p][t] = vi_add(sum[p][t], _mm256_madd_epi16(pair, ones));
        }
      }
    }
  } else {
    /* Pairs of products are summed in 16 bits as long as they cannot overflow. */
    constexpr int fit = 32767 / (MAX_Q * 254);
    constexpr int depth = fit >= DWORDS ? DWORDS : fit >= 4 ? 4 : 2;
    for (int i = 0; i < DWORDS; i += depth) {
      VI h[P][T];
      for (int j = 0; j < depth; j++)
        for (int t = 0; t < T; t++) {
          const VI xi = vi_set(load_i32(x[t] + at + 4 * (i + j)));
          for (int p = 0; p < P; p++) {
            const VI pair = _mm256_maddubs_epi16(w[p][i + j], xi);
            h[p][t] = j == 0 ? pair : _mm256_add_epi16(h[p][t], pair);
          }
        }
      for (int p = 0; p < P; p++)
        for (int t = 0; t < T; t++)
          sum[p][t] = vi_add(sum[p][t], _mm256_madd_epi16(h[p][t], SCALED ? scale[p] : ones));
    }
  }
}
/* Two 16-bit numbers per row times two of the activation. */
PM_INLINE VI dot_pairs(VI pairs, const int16_t *x) { return _mm256_madd_epi16(pairs, vi_set(load_i32(x))); }

PM_INLINE VF vf_load(const float *p) { return _mm256_loadu_ps(p); }
PM_INLINE void vf_store(float *p, VF v) { _mm256_storeu_ps(p, v); }
PM_INLINE VF vf_set(float v) { return _mm256_set1_ps(v); }
PM_INLINE VF vf_fma(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
PM_INLINE VF vf_max(VF a, VF b) { return _mm256_max_ps(a, b); } /* b when either is NaN */
PM_INLINE VF vf_min(VF a, VF b) { return _mm256_min_ps(a, b); }
PM_INLINE VF vf_abs(VF v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
PM_INLINE float vf_highest(VF v) {
  __m128 h = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  h = _mm_max_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}
PM_INLINE int32_t vi_sum(VI v) {
  __m128i h = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1)));
}
PM_INLINE VI vi_round_even(VF v) { return _mm256_cvtps_epi32(v); }
PM_INLINE VI vi_round_away(VF v) {
  const VI whole = _mm256_cvttps_epi32(v);
  const VF rest = _mm256_sub_ps(v, _mm256_cvtepi32_ps(whole));
  const VI up = _mm256_castps_si256(_mm256_cmp_ps(rest, _mm256_set1_ps(0.5f), _CMP_GE_OQ));
  const VI down = _mm256_castps_si256(_mm256_cmp_ps(rest, _mm256_set1_ps(-0.5f), _CMP_LE_OQ));
  return _mm256_add_epi32(_mm256_sub_epi32(whole, up), down);
}
/* NF small numbers as bytes. */
PM_INLINE void vi_store_bytes(int8_t *p, VI v) {
  const __m128i h = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(h, h));
}
PM_INLINE VF vf_div(VF a, VF b) { return _mm256_div_ps(a, b); }
PM_INLINE VF vf_load_halves(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
PM_INLINE VF vf_load_bfloats(const uint8_t *p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
PM_INLINE VF vf_load_bytes(const int8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
PM_INLINE void vf_store_halves(uint8_t *p, VF v) {
  _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
PM_INLINE VI vi_of_bits(VF v) { return _mm256_castps_si256(v); }
PM_INLINE VF vf_of_bits(VI v) { return _mm256_castsi256_ps(v); }
/* x where a >= b, else 0. */
PM_INLINE VF vf_keep_if_ge(VF a, VF b, VF x) { return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ), x); }
PM_INLINE void vf_reduce4(VF a, VF b, VF c, VF d, float *out) {
  const VF t = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1)));
}

#elif defined(PM_USE_NEON)

constexpr int LANES = 4;
constexpr bool WIDE_SIGNED = true;
using VI = int32x4_t;
using VF = float32x4_t;
constexpr int NF = 4;

PM_INLINE int8x16_t as_bytes(VI v) { return vreinterpretq_s8_s32(v); }
PM_INLINE VI vi_zero() { return vdupq_n_s32(0); }
PM_INLINE VI vi_set(int32_t v) { return vdupq_n_s32(v); }
PM_INLINE VI vi_and(VI a, VI b) { return vandq_s32(a, b); }
PM_INLINE VI vi_or(VI a, VI b) { return vorrq_s32(a, b); }
PM_INLINE VI vi_xor(VI a, VI b) { return veorq_s32(a, b); }
PM_INLINE VI vi_add(VI a, VI b) { return vaddq_s32(a, b); }
PM_INLINE VI vi_sub(VI a, VI b) { return vsubq_s32(a, b); }
PM_INLINE VI vi_mul(VI a, VI b) { return vmulq_s32(a, b); }
/* All ones where a > b. */
PM_INLINE VI vi_above(VI a, VI b) { return vreinterpretq_s32_u32(vcgtq_s32(a, b)); }
template <int N> PM_INLINE VI vi_shr(VI a) {
  if constexpr (N == 0) return a;
  else return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), N));
}
template <int N> PM_INLINE VI vi_shl(VI a) { return vshlq_n_s32(a, N); }
PM_INLINE VF vf_of(VI a) { return vcvtq_f32_s32(a); }
PM_INLINE VI vi_bytes(const uint8_t table[16], VI index) {
  return vreinterpretq_s32_u8(vqtbl1q_u8(vld1q_u8(table), vreinterpretq_u8_s32(index)));
}

/* 16 bytes at `offset` of each row, transposed: w[i] has bytes 4i..4i+3 of every row. */
PM_INLINE void vi_load16(const uint8_t *const *p, int64_t offset, VI *w) {
  const VI r0 = vreinterpretq_s32_u8(vld1q_u8(p[0] + offset)), r1 = vreinterpretq_s32_u8(vld1q_u8(p[1] + offset));
  const VI r2 = vreinterpretq_s32_u8(vld1q_u8(p[2] + offset)), r3 = vreinterpretq_s32_u8(vld1q_u8(p[3] + offset));
  const int64x2_t a = vreinterpretq_s64_s32(vzip1q_s32(r0, r1)), b = vreinterpretq_s64_s32(vzip2q_s32(r0, r1));
  const int64x2_t c = vreinterpretq_s64_s32(vzip1q_s32(r2, r3)), d = vreinterpretq_s64_s32(vzip2q_s32(r2, r3));
  w[0] = vreinterpretq_s32_s64(vzip1q_s64(a, c));
  w[1] = vreinterpretq_s32_s64(vzip2q_s64(a, c));
  w[2] = vreinterpretq_s32_s64(vzip1q_s64(b, d));
  w[3] = vreinterpretq_s32_s64(vzip2q_s64(b, d));
}

/* The low or high 16 bits of each lane as a half float. */
PM_INLINE VF vf_of_high_halves(VI v) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vshrn_n_u32(vreinterpretq_u32_s32(v), 16)));
}
PM_INLINE VF vf_of_halves(VI low16) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(vreinterpretq_u32_s32(low16))));
}
/* A half float at `offset` of each row, of which 16 bytes can be read. */
PM_INLINE VF vf_gather_halves(const uint8_t *const *p, int64_t offset) {
  const uint64_t four = (uint64_t)load_u16(p[0] + offset) | (uint64_t)load_u16(p[1] + offset) << 16 |
                        (uint64_t)load_u16(p[2] + offset) << 32 | (uint64_t)load_u16(p[3] + offset) << 48;
  return vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(four)));
}
/* Four bytes at `offset` of each row. */
PM_INLINE VI vi_gather(const uint8_t *const *p, int64_t offset) {
  VI v = vdupq_n_s32(load_i32(p[0] + offset));
  v = vsetq_lane_s32(load_i32(p[1] + offset), v, 1);
  v = vsetq_lane_s32(load_i32(p[2] + offset), v, 2);
  return vsetq_lane_s32(load_i32(p[3] + offset), v, 3);
}

/* Byte B of each lane as a sub-block scale; bytes B and B + 1 as a pair of 16-bit numbers. */
template <int B> PM_INLINE VI scale_unsigned(VI v) { return vi_and(vi_shr<8 * B>(v), vi_set(255)); }
template <int B> PM_INLINE VI scale_signed(VI v) { return vshrq_n_s32(vi_shl<24 - 8 * B>(v), 24); }
template <int B> PM_INLINE VI pair_unsigned(VI v) {
  const VI t = vi_shr<8 * B>(v);
  return vi_or(vi_and(t, vi_set(0xff)), vi_shl<8>(vi_and(t, vi_set(0xff00))));
}
template <int B> PM_INLINE VI pair_signed(VI v) {
  const VI t = vi_shr<8 * B>(v);
  const VI high = vi_or(vi_shl<8>(vi_and(t, vi_set(0xff))), vi_shl<16>(vi_and(t, vi_set(0xff00))));
  return vreinterpretq_s32_s16(vshrq_n_s16(vreinterpretq_s16_s32(high), 8));
}

PM_INLINE VI scale_of(VI s) { return s; }

template <int MAX_Q, int DWORDS, bool SCALED, int P, int T>
PM_INLINE void dots(const VI *const *w, const VI *scale, const int8_t *const *x, int64_t at, VI (&sum)[P][T]) {
  VI h[P][T];
  for (int p = 0; p < P; p++)
    for (int t = 0; t < T; t++) h[p][t] = SCALED ? vi_zero() : sum[p][t];
#if defined(__ARM_FEATURE_DOTPROD)
  for (int i = 0; i < DWORDS; i += 4)
    for (int t = 0; t < T; t++) {
      const int8x16_t xi = vld1q_s8(x[t] + at + 4 * i);
      for (int p = 0; p < P; p++) {
        h[p][t] = vdotq_laneq_s32(h[p][t], as_bytes(w[p][i]), xi, 0);
        h[p][t] = vdotq_laneq_s32(h[p][t], as_bytes(w[p][i + 1]), xi, 1);
        h[p][t] = vdotq_laneq_s32(h[p][t], as_bytes(w[p][i + 2]), xi, 2);
        h[p][t] = vdotq_laneq_s32(h[p][t], as_bytes(w[p][i + 3]), xi, 3);
      }
    }
#else
  /* Products are at most 128 * 127; two of them fit 16 bits. */
  for (int t = 0; t < T; t++) {
    VI low[P], high[P];
    for (int p = 0; p < P; p++) low[p] = high[p] = vi_zero();
    for (int i = 0; i < DWORDS; i += 2) {
      const int8x8_t xa = vreinterpret_s8_s32(vdup_n_s32(load_i32(x[t] + at + 4 * i)));
      const int8x8_t xb = vreinterpret_s8_s32(vdup_n_s32(load_i32(x[t] + at + 4 * i + 4)));
      for (int p = 0; p < P; p++) {
        const int8x16_t a = as_bytes(w[p][i]), b = as_bytes(w[p][i + 1]);
        low[p] = vpadalq_s16(low[p], vmlal_s8(vmull_s8(vget_low_s8(a), xa), vget_low_s8(b), xb));
        high[p] = vpadalq_s16(high[p], vmlal_s8(vmull_s8(vget_high_s8(a), xa), vget_high_s8(b), xb));
      }
    }
    for (int p = 0; p < P; p++) h[p][t] = vaddq_s32(h[p][t], vpaddq_s32(low[p], high[p]));
  }
#endif
  for (int p = 0; p < P; p++)
    for (int t = 0; t < T; t++) sum[p][t] = SCALED ? vmlaq_s32(sum[p][t], h[p][t], scale[p]) : h[p][t];
}
/* Two 16-bit numbers per row times two of the activation. */
PM_INLINE VI dot_pairs(VI pairs, const int16_t *x) {
  const int16x8_t p = vreinterpretq_s16_s32(pairs);
  const int16x4_t xs = vreinterpret_s16_s32(vdup_n_s32(load_i32(x)));
  return vpaddq_s32(vmull_s16(vget_low_s16(p), xs), vmull_s16(vget_high_s16(p), xs));
}

PM_INLINE VF vf_load(const float *p) { return vld1q_f32(p); }
PM_INLINE void vf_store(float *p, VF v) { vst1q_f32(p, v); }
PM_INLINE VF vf_set(float v) { return vdupq_n_f32(v); }
PM_INLINE VF vf_fma(VF a, VF b, VF c) { return vfmaq_f32(c, a, b); }
PM_INLINE VF vf_max(VF a, VF b) { return vbslq_f32(vcgtq_f32(a, b), a, b); } /* b when either is NaN */
PM_INLINE VF vf_min(VF a, VF b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
PM_INLINE VF vf_abs(VF v) { return vabsq_f32(v); }
PM_INLINE float vf_highest(VF v) { return vmaxvq_f32(v); }
PM_INLINE int32_t vi_sum(VI v) { return vaddvq_s32(v); }
PM_INLINE VI vi_round_even(VF v) { return vcvtnq_s32_f32(v); }
PM_INLINE VI vi_round_away(VF v) { return vcvtaq_s32_f32(v); }
/* NF small numbers as bytes. */
PM_INLINE void vi_store_bytes(int8_t *p, VI v) {
  const int16x4_t h = vmovn_s32(v);
  const int32_t four = vget_lane_s32(vreinterpret_s32_s8(vmovn_s16(vcombine_s16(h, h))), 0);
  memcpy(p, &four, 4);
}
PM_INLINE VF vf_div(VF a, VF b) { return vdivq_f32(a, b); }
PM_INLINE VF vf_load_halves(const uint8_t *p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
PM_INLINE VF vf_load_bfloats(const uint8_t *p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
PM_INLINE VF vf_load_bytes(const int8_t *p) {
  int8_t bytes[8] = {0};
  memcpy(bytes, p, 4);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(bytes)))));
}
PM_INLINE void vf_store_halves(uint8_t *p, VF v) { vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32(v))); }
PM_INLINE VI vi_of_bits(VF v) { return vreinterpretq_s32_f32(v); }
PM_INLINE VF vf_of_bits(VI v) { return vreinterpretq_f32_s32(v); }
/* x where a >= b, else 0. */
PM_INLINE VF vf_keep_if_ge(VF a, VF b, VF x) {
  return vreinterpretq_f32_u32(vandq_u32(vcgeq_f32(a, b), vreinterpretq_u32_f32(x)));
}
PM_INLINE void vf_reduce4(VF a, VF b, VF c, VF d, float *out) {
  vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}

#else /* portable: plain code for integers, the compiler's generic vectors for floats */
#define PM_PLAIN_INTEGERS

typedef float VF __attribute__((vector_size(16)));
typedef uint32_t VI __attribute__((vector_size(16)));
constexpr int NF = 4;

PM_INLINE VI vi_add(VI a, VI b) { return a + b; }
template <int N> PM_INLINE VI vi_shl(VI a) { return a << N; }
PM_INLINE VF vf_load(const float *p) {
  VF v;
  memcpy(&v, p, sizeof v);
  return v;
}
PM_INLINE void vf_store(float *p, VF v) { memcpy(p, &v, sizeof v); }
PM_INLINE VF vf_set(float v) { return VF{v, v, v, v}; }
PM_INLINE VF vf_fma(VF a, VF b, VF c) { return a * b + c; }
PM_INLINE VF vf_max(VF a, VF b) { return a > b ? a : b; }
PM_INLINE VF vf_div(VF a, VF b) { return a / b; }
PM_INLINE VF vf_load_halves(const uint8_t *p) {
  return VF{load_half(p), load_half(p + 2), load_half(p + 4), load_half(p + 6)};
}
PM_INLINE VF vf_load_bfloats(const uint8_t *p) {
  return VF{bfloat_to_float(load_u16(p)), bfloat_to_float(load_u16(p + 2)), bfloat_to_float(load_u16(p + 4)),
            bfloat_to_float(load_u16(p + 6))};
}
PM_INLINE VF vf_load_bytes(const int8_t *p) { return VF{(float)p[0], (float)p[1], (float)p[2], (float)p[3]}; }
PM_INLINE void vf_store_halves(uint8_t *p, VF v) {
  for (int i = 0; i < NF; i++) {
    const uint16_t h = float_to_half(v[i]);
    memcpy(p + 2 * i, &h, 2);
  }
}
PM_INLINE VI vi_of_bits(VF v) { return (VI)v; }
PM_INLINE VF vf_of_bits(VI v) { return (VF)v; }
/* x where a >= b, else 0. */
PM_INLINE VF vf_keep_if_ge(VF a, VF b, VF x) { return (VF)((a >= b) & (VI)x); }
PM_INLINE float vf_sum(VF v) { return (v[0] + v[1]) + (v[2] + v[3]); }
PM_INLINE void vf_reduce4(VF a, VF b, VF c, VF d, float *out) {
  out[0] = vf_sum(a);
  out[1] = vf_sum(b);
  out[2] = vf_sum(c);
  out[3] = vf_sum(d);
}

#endif

/* e^x within about 1 ulp; 0 below -87.3 and for NaN, e^88.3 above 88.3. */
PM_INLINE VF vf_exp(VF x) {
  const VF low = vf_set(-87.3365f), shift = vf_set(12582912.0f);
  const VF y = vf_set(0.0f) - vf_max(vf_set(0.0f) - vf_max(x, low), vf_set(-88.3f));
  const VF t = vf_fma(y, vf_set(1.44269504f), shift);
  const VF n = t - shift;
  VF r = vf_fma(n, vf_set(-0.693145752f), y);
  r = vf_fma(n, vf_set(-1.42860677e-6f), r);
  VF p = vf_set(1.98756912e-4f);
  p = vf_fma(p, r, vf_set(1.39819994e-3f));
  p = vf_fma(p, r, vf_set(8.33345205e-3f));
  p = vf_fma(p, r, vf_set(4.16657962e-2f));
  p = vf_fma(p, r, vf_set(1.66666657e-1f));
  p = vf_fma(p, r, vf_set(0.5f));
  p = vf_fma(p * r, r, r + vf_set(1.0f));
  /* The exponent of 2^n is added to p's: p is in [0.7, 1.42]. */
  const VF e = vf_of_bits(vi_add(vi_of_bits(p), vi_shl<23>(vi_of_bits(t))));
  return vf_keep_if_ge(x, low, e);
}

} // namespace
