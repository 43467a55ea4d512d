/* Weights times activations, and embedding rows. See simd.h for why tiles cannot change a result. */
#include "activation.h"
#include "blocks.h"
#include "simd.h"
#include "weight_type.h"

#include "simd_tables.h"

namespace {

using pm::MatmulJob;

/* ---- float weights: rows are read as vectors, lanes are columns ---- */

struct F32 {
  static constexpr int BYTES = 4;
  PM_INLINE VF load(const uint8_t *p) { return vf_load((const float *)p); }
  PM_INLINE float scalar(const uint8_t *p) { return float_of_bits(load_u32(p)); }
};
struct F16 {
  static constexpr int BYTES = 2;
  PM_INLINE VF load(const uint8_t *p) { return vf_load_halves(p); }
  PM_INLINE float scalar(const uint8_t *p) { return load_half(p); }
};
struct BF16 {
  static constexpr int BYTES = 2;
  PM_INLINE VF load(const uint8_t *p) { return vf_load_bfloats(p); }
  PM_INLINE float scalar(const uint8_t *p) { return bfloat_to_float(load_u16(p)); }
};

/* Rows are computed several at once, an order that hardware prefetchers follow badly, and single lines a little
 * ahead of it come too late. So what comes next is fetched in the order of addresses. A line that is not there is
 * not fetched: running over the end of a matrix does no harm. */
PM_INLINE void fetch_line(const uint8_t *p) { __builtin_prefetch(p); }

/* ROWS x COLS dot products. Each has two accumulators (even and odd vectors), added at the end; the tail is
 * padded with zeros, so every tile shape does the same operations per product. */
template <class T, int ROWS, int TOKENS>
PM_INLINE void float_tile(const uint8_t *const *rows, int64_t cols, const float *const *xs, float *out,
                              const uint8_t *ahead) {
  VF even[ROWS][TOKENS], odd[ROWS][TOKENS];
  for (int r = 0; r < ROWS; r++)
    for (int t = 0; t < TOKENS; t++) even[r][t] = odd[r][t] = vf_set(0.0f);
  int64_t k = 0;
  for (; k + 2 * NF <= cols; k += 2 * NF) {
    VF w0[ROWS], w1[ROWS];
    if (TOKENS == 1 && ROWS > 1 && T::BYTES == 2) /* float32 rows are long, and fetched well enough as they are */
      for (int line = 0; line < ROWS * 2 * NF * T::BYTES; line += 64) fetch_line(ahead + k * ROWS * T::BYTES + line);
    for (int r = 0; r < ROWS; r++) {
      w0[r] = T::load(rows[r] + k * T::BYTES);
      w1[r] = T::load(rows[r] + (k + NF) * T::BYTES);
    }
    for (int t = 0; t < TOKENS; t++) {
      const VF x0 = vf_load(xs[t] + k), x1 = vf_load(xs[t] + k + NF);
      for (int r = 0; r < ROWS; r++) {
        even[r][t] = vf_fma(w0[r], x0, even[r][t]);
        odd[r][t] = vf_fma(w1[r], x1, odd[r][t]);
      }
    }
  }
  if (k < cols) {
    float w[ROWS][2 * NF] = {}, x[2 * NF] = {};
    for (int r = 0; r < ROWS; r++)
      for (int64_t i = k; i < cols; i++) w[r][i - k] = T::scalar(rows[r] + i * T::BYTES);
    for (int t = 0; t < TOKENS; t++) {
      for (int64_t i = k; i < cols; i++) x[i - k] = xs[t][i];
      for (int r = 0; r < ROWS; r++) {
        even[r][t] = vf_fma(vf_load(w[r]), vf_load(x), even[r][t]);
        odd[r][t] = vf_fma(vf_load(w[r] + NF), vf_load(x + NF), odd[r][t]);
      }
    }
  }
  for (int t = 0; t < TOKENS; t++) {
    VF sum[4];
    for (int r = 0; r < 4; r++) sum[r] = r < ROWS ? even[r < ROWS ? r : 0][t] + odd[r < ROWS ? r : 0][t] : vf_set(0.0f);
    float four[4];
    vf_reduce4(sum[0], sum[1], sum[2], sum[3], four);
    for (int r = 0; r < ROWS; r++) out[t * ROWS + r] = four[r];
  }
}

PM_INLINE int64_t row_number(const MatmulJob &job, int64_t index) {
  return job.row_list ? job.row_list[index] : index;
}

template <class T, int ROWS, int TOKENS>
PM_INLINE void float_block(const MatmulJob &job, int64_t index, int32_t token) {
  const uint8_t *rows[ROWS];
  const float *xs[TOKENS];
  int64_t number[ROWS];
  float result[ROWS * TOKENS];
  for (int r = 0; r < ROWS; r++) {
    number[r] = row_number(job, index + r);
    rows[r] = job.data + number[r] * job.row_bytes;
  }
  for (int t = 0; t < TOKENS; t++) xs[t] = (const float *)job.xs[token + t];
  float_tile<T, ROWS, TOKENS>(rows, job.cols, xs, result, rows[0] + ROWS * job.row_bytes);
  for (int t = 0; t < TOKENS; t++)
    for (int r = 0; r < ROWS; r++) job.outs[token + t][job.out_offset + number[r]] = result[t * ROWS + r];
}

template <class T> static void float_matmul(const MatmulJob &job) {
  constexpr int TILE = 2;
  int64_t r = job.first;
  if (job.n == 1) {
    for (; r + 4 <= job.last; r += 4) float_block<T, 4, 1>(job, r, 0);
    for (; r < job.last; r++) float_block<T, 1, 1>(job, r, 0);
    return;
  }
  for (; r + TILE <= job.last; r += TILE) {
    int32_t t = 0;
    for (; t + 3 <= job.n; t += 3) float_block<T, TILE, 3>(job, r, t);
    for (; t < job.n; t++) float_block<T, TILE, 1>(job, r, t);
  }
  for (; r < job.last; r++)
    for (int32_t t = 0; t < job.n; t++) float_block<T, 1, 1>(job, r, t);
}

#if !defined(PM_PLAIN_INTEGERS)

/* ---- quantised weights: panels of LANES rows, lane = row ---- */

constexpr int CHUNK_COLS = 1024; /* columns unpacked at a time for a batch: two panels of them stay in L1 */
constexpr int BATCH = 128;       /* tokens per pass over a panel */

struct SmallPanel {
  VI w[8];
  VF d, m;
};

PM_INLINE VI low_nibbles(VI v) { return vi_and(v, vi_set(0x0f0f0f0f)); }
PM_INLINE VI high_nibbles(VI v) { return vi_and(vi_shr<4>(v), vi_set(0x0f0f0f0f)); }

/* The nibbles of 16 packed bytes: w[0..3] low, w[4..7] high. */
PM_INLINE void load_nibbles(const uint8_t *const *p, int64_t offset, VI *w) {
  VI t[4];
  vi_load16(p, offset, t);
  for (int i = 0; i < 4; i++) {
    w[i] = low_nibbles(t[i]);
    w[i + 4] = high_nibbles(t[i]);
  }
}

/* Wide weights (8 bits used) are kept signed or, for VPDPBUSD, unsigned. */
PM_INLINE void turn_sign(VI *w) {
  for (int i = 0; i < 8; i++) w[i] = vi_xor(w[i], vi_set((int32_t)0x80808080));
}

/* Bits 4I..4I+3 of each lane, one to each byte, times 16. */
template <int I> PM_INLINE VI fifth_bits(VI bits) {
  const VI four = vi_and(vi_shr<4 * I>(bits), vi_set(15));
  return vi_and(vi_shl<4>(vi_mul(four, vi_set(0x00204081))), vi_set(0x10101010));
}
PM_INLINE void add_fifth_bits(VI bits, VI *w) {
  w[0] = vi_or(w[0], fifth_bits<0>(bits));
  w[1] = vi_or(w[1], fifth_bits<1>(bits));
  w[2] = vi_or(w[2], fifth_bits<2>(bits));
  w[3] = vi_or(w[3], fifth_bits<3>(bits));
  w[4] = vi_or(w[4], fifth_bits<4>(bits));
  w[5] = vi_or(w[5], fifth_bits<5>(bits));
  w[6] = vi_or(w[6], fifth_bits<6>(bits));
  w[7] = vi_or(w[7], fifth_bits<7>(bits));
}

/* One block of each row of a panel, unpacked. The layouts are those of blocks.h. */
PM_INLINE void load_small(Q4_0, const uint8_t *const *p, int64_t offset, SmallPanel &o) {
  load_nibbles(p, offset + 2, o.w);
  o.d = vf_gather_halves(p, offset);
}
PM_INLINE void load_small(Q4_1, const uint8_t *const *p, int64_t offset, SmallPanel &o) {
  load_nibbles(p, offset + 4, o.w);
  o.d = vf_gather_halves(p, offset);
  o.m = vf_gather_halves(p, offset + 2);
}
PM_INLINE void load_small(Q5_0, const uint8_t *const *p, int64_t offset, SmallPanel &o) {
  load_nibbles(p, offset + 6, o.w);
  add_fifth_bits(vi_gather(p, offset + 2), o.w);
  o.d = vf_gather_halves(p, offset);
}
PM_INLINE void load_small(Q5_1, const uint8_t *const *p, int64_t offset, SmallPanel &o) {
  load_nibbles(p, offset + 8, o.w);
  add_fifth_bits(vi_gather(p, offset + 4), o.w);
  o.d = vf_gather_halves(p, offset);
  o.m = vf_gather_halves(p, offset + 2);
}
PM_INLINE void load_small(Q8_0, const uint8_t *const *p, int64_t offset, SmallPanel &o) {
  vi_load16(p, offset + 2, o.w);
  vi_load16(p, offset + 18, o.w + 4);
  if (!WIDE_SIGNED) turn_sign(o.w);
  o.d = vf_gather_halves(p, offset);
}
PM_INLINE void load_small(IQ4_NL, const uint8_t *const *p, int64_t offset, SmallPanel &o) {
  load_nibbles(p, offset + 2, o.w);
  for (int i = 0; i < 8; i++) o.w[i] = vi_bytes(IQ4_NL_VALUES, o.w[i]);
  if (WIDE_SIGNED) turn_sign(o.w);
  o.d = vf_gather_halves(p, offset);
}
PM_INLINE void load_small(MXFP4, const uint8_t *const *p, int64_t offset, SmallPanel &o) {
  load_nibbles(p, offset + 1, o.w);
  for (int i = 0; i < 8; i++) o.w[i] = vi_bytes(MXFP4_VALUES, o.w[i]);
  /* half_e8m0 in every lane: (e - 1) << 23, and the two subnormal ones. */
  const VI e = vi_and(vi_gather(p, offset), vi_set(255));
  const VI normal = vi_shl<23>(vi_sub(e, vi_set(1)));
  o.d = vf_of_bits(vi_or(vi_and(normal, vi_above(e, vi_set(1))),
                         vi_and(vi_add(vi_shl<21>(e), vi_set(0x00200000)), vi_above(vi_set(2), e))));
}

/* acc += (d * dx) * (q - ZERO)·x, and += (m * dx) * sum(x) for types with a minimum. */
template <class T> PM_INLINE VF small_finish(VI dots, const SmallPanel &w, const SmallActivation &x, int64_t block, VF acc) {
  constexpr int zero = T::MAX_Q == 255 && WIDE_SIGNED ? 0 : T::ZERO;
  if constexpr (zero == 8) dots = vi_sub(dots, vi_shl<3>(vi_set(x.sum[block])));
  else if constexpr (zero == 16) dots = vi_sub(dots, vi_shl<4>(vi_set(x.sum[block])));
  else if constexpr (zero == 128) dots = vi_sub(dots, vi_shl<7>(vi_set(x.sum[block])));
  else if constexpr (zero != 0) dots = vi_sub(dots, vi_set(zero * x.sum[block]));
  const VF dx = vf_set(x.d[block]);
  acc = acc + (w.d * dx) * vf_of(dots);
  if constexpr (T::HAS_MIN) acc = acc + (w.m * dx) * vf_set((float)x.sum[block]);
  return acc;
}

template <class Type> struct SmallFamily {
  using Panel = SmallPanel;
  using X = SmallActivation;
  static constexpr int BLOCK = 32, BYTES = Type::BYTES;
  PM_INLINE void load(const uint8_t *const *p, int64_t offset, Panel &o) { load_small(Type{}, p, offset, o); }
  /* One block of P panels for T tokens. */
  template <int P, int T>
  PM_INLINE void step(const Panel *const *w, const X *x, int64_t block, VF (&acc)[P][T]) {
    const VI *weights[P];
    const int8_t *q[T];
    VI sum[P][T];
    for (int p = 0; p < P; p++) weights[p] = w[p]->w;
    for (int t = 0; t < T; t++) q[t] = x[t].q;
    for (int p = 0; p < P; p++)
      for (int t = 0; t < T; t++) sum[p][t] = vi_zero();
    dots<Type::MAX_Q, 8, false, P, T>(weights, nullptr, q, block * 32, sum);
    for (int t = 0; t < T; t++)
      for (int p = 0; p < P; p++) acc[p][t] = small_finish<Type>(sum[p][t], *w[p], x[t], block, acc[p][t]);
  }
  PM_INLINE void load_and_step(const uint8_t *const *p, int64_t offset, const X &x, int64_t block, VF (&acc)[1][1]) {
    SmallPanel w;
    load_small(Type{}, p, offset, w);
    const SmallPanel *const panels[1] = {&w};
    step<1, 1>(panels, &x, block, acc);
  }
};

/* What a super-block has besides its weights. */
struct SuperHead {
  VI scale[16]; /* as dot_scaled wants them; 256 / SUB used */
  VI pairs[8];  /* 16-bit pairs: minimums, or scales where ZERO is subtracted */
  VF d, dmin;
  VI high[8]; /* bits of the weights that are stored apart from the others (Q3_K, Q5_K) */
};

/* A super-block is unpacked in four parts of 64 weights: those that share packed bytes. */
struct SuperPanel {
  VI w[4][16];
  SuperHead head;
};

/* The sub-blocks a part holds, in the order of its weights. */
template <class T, int PART> constexpr int sub_block(int i) {
  return T::SUB == 32 ? 2 * PART + i : PART / 2 * 8 + PART % 2 + 2 * i;
}

/* Four sub-block scales out of the four bytes of each lane. */
PM_INLINE void scales_unsigned(VI bytes, VI *scale) {
  scale[0] = scale_unsigned<0>(bytes);
  scale[1] = scale_unsigned<1>(bytes);
  scale[2] = scale_unsigned<2>(bytes);
  scale[3] = scale_unsigned<3>(bytes);
}
PM_INLINE void scales_signed(VI bytes, VI *scale) {
  scale[0] = scale_signed<0>(bytes);
  scale[1] = scale_signed<1>(bytes);
  scale[2] = scale_signed<2>(bytes);
  scale[3] = scale_signed<3>(bytes);
}
PM_INLINE void pairs_unsigned(VI bytes, VI *pairs) {
  pairs[0] = pair_unsigned<0>(bytes);
  pairs[1] = pair_unsigned<2>(bytes);
}
PM_INLINE void pairs_signed(VI bytes, VI *pairs) {
  pairs[0] = pair_signed<0>(bytes);
  pairs[1] = pair_signed<2>(bytes);
}

/* d, dmin and the six-bit scales of Q4_K and Q5_K: the first 16 bytes of a block. */
PM_INLINE void load_k4_head(const uint8_t *const *p, int64_t offset, SuperHead &o) {
  VI h[4];
  vi_load16(p, offset, h);
  o.d = vf_of_halves(h[0]);
  o.dmin = vf_of_high_halves(h[0]);
  const VI six = vi_set(0x3f3f3f3f), four = vi_set(0x0f0f0f0f), top = vi_set(0x30303030);
  scales_unsigned(vi_and(h[1], six), o.scale);
  scales_unsigned(vi_or(vi_and(h[3], four), vi_and(vi_shr<2>(h[1]), top)), o.scale + 4);
  pairs_unsigned(vi_and(h[2], six), o.pairs);
  pairs_unsigned(vi_or(vi_and(vi_shr<4>(h[3]), four), vi_and(vi_shr<2>(h[2]), top)), o.pairs + 2);
}

PM_INLINE void load_head(Q4_K, const uint8_t *const *p, int64_t offset, SuperHead &o) { load_k4_head(p, offset, o); }
template <int PART>
PM_INLINE void load_part(Q4_K, const uint8_t *const *p, int64_t offset, const SuperHead &, VI *w) {
  VI t[8];
  vi_load16(p, offset + 16 + PART * 32, t);
  vi_load16(p, offset + 32 + PART * 32, t + 4);
  for (int i = 0; i < 8; i++) {
    w[i] = low_nibbles(t[i]);
    w[i + 8] = high_nibbles(t[i]);
  }
}

PM_INLINE void load_head(Q5_K, const uint8_t *const *p, int64_t offset, SuperHead &o) {
  load_k4_head(p, offset, o);
  vi_load16(p, offset + 16, o.high);
  vi_load16(p, offset + 32, o.high + 4);
}
/* Bits 2 PART and 2 PART + 1 of every byte are the fifth bits of two sub-blocks. */
template <int PART>
PM_INLINE void load_part(Q5_K, const uint8_t *const *p, int64_t offset, const SuperHead &head, VI *w) {
  const VI fifth = vi_set(0x10101010);
  VI t[8];
  vi_load16(p, offset + 48 + PART * 32, t);
  vi_load16(p, offset + 64 + PART * 32, t + 4);
  for (int i = 0; i < 8; i++) {
    const VI bits = head.high[i];
    VI even, odd;
    if constexpr (PART == 0) even = vi_shl<4>(bits), odd = vi_shl<3>(bits);
    if constexpr (PART == 1) even = vi_shl<2>(bits), odd = vi_shl<1>(bits);
    if constexpr (PART == 2) even = bits, odd = vi_shr<1>(bits);
    if constexpr (PART == 3) even = vi_shr<2>(bits), odd = vi_shr<3>(bits);
    w[i] = vi_or(low_nibbles(t[i]), vi_and(even, fifth));
    w[i + 8] = vi_or(high_nibbles(t[i]), vi_and(odd, fifth));
  }
}

PM_INLINE void load_head(Q6_K, const uint8_t *const *p, int64_t offset, SuperHead &o) {
  VI s[4];
  vi_load16(p, offset + 192, s);
  for (int i = 0; i < 4; i++) {
    scales_signed(s[i], o.scale + 4 * i);
    pairs_signed(s[i], o.pairs + 2 * i);
  }
  o.d = vf_of_high_halves(vi_gather(p, offset + 206));
}
/* 16 bytes hold the top bits of 64 weights. */
template <int PART>
PM_INLINE void load_part(Q6_K, const uint8_t *const *p, int64_t offset, const SuperHead &, VI *w) {
  const VI top = vi_set(0x30303030);
  VI high[4], low[4], low32[4];
  vi_load16(p, offset + 128 + PART * 16, high);
  vi_load16(p, offset + PART / 2 * 64 + PART % 2 * 16, low);
  vi_load16(p, offset + PART / 2 * 64 + PART % 2 * 16 + 32, low32);
  for (int i = 0; i < 4; i++) {
    w[i] = vi_or(low_nibbles(low[i]), vi_and(vi_shl<4>(high[i]), top));
    w[i + 4] = vi_or(low_nibbles(low32[i]), vi_and(vi_shl<2>(high[i]), top));
    w[i + 8] = vi_or(high_nibbles(low[i]), vi_and(high[i], top));
    w[i + 12] = vi_or(high_nibbles(low32[i]), vi_and(vi_shr<2>(high[i]), top));
  }
}

/* Two bits of every byte, from bit 2J on. */
template <int J> PM_INLINE VI two_bits(VI v) { return vi_and(vi_shr<2 * J>(v), vi_set(0x03030303)); }

PM_INLINE void load_head(Q2_K, const uint8_t *const *p, int64_t offset, SuperHead &o) {
  VI s[4];
  vi_load16(p, offset, s);
  for (int i = 0; i < 4; i++) {
    scales_unsigned(low_nibbles(s[i]), o.scale + 4 * i);
    pairs_unsigned(high_nibbles(s[i]), o.pairs + 2 * i);
  }
  const VI both = vi_gather(p, offset + 80);
  o.d = vf_of_halves(both);
  o.dmin = vf_of_high_halves(both);
}
template <int PART>
PM_INLINE void load_part(Q2_K, const uint8_t *const *p, int64_t offset, const SuperHead &, VI *w) {
  VI t[4];
  vi_load16(p, offset + 16 + PART * 16, t);
  for (int i = 0; i < 4; i++) {
    w[i] = two_bits<0>(t[i]);
    w[i + 4] = two_bits<1>(t[i]);
    w[i + 8] = two_bits<2>(t[i]);
    w[i + 12] = two_bits<3>(t[i]);
  }
}

PM_INLINE void load_head(Q3_K, const uint8_t *const *p, int64_t offset, SuperHead &o) {
  vi_load16(p, offset, o.high);
  vi_load16(p, offset + 16, o.high + 4);
  /* Six-bit scales minus 32, as signed bytes: ((x + 96) ^ 128). */
  const VI a = vi_gather(p, offset + 96), b = vi_gather(p, offset + 100), c = vi_gather(p, offset + 104);
  const VI top = vi_set(0x30303030);
  const VI six[4] = {vi_or(low_nibbles(a), vi_and(vi_shl<4>(c), top)), vi_or(low_nibbles(b), vi_and(vi_shl<2>(c), top)),
                     vi_or(high_nibbles(a), vi_and(c, top)), vi_or(high_nibbles(b), vi_and(vi_shr<2>(c), top))};
  for (int i = 0; i < 4; i++) {
    const VI s = vi_xor(vi_add(six[i], vi_set(0x60606060)), vi_set((int32_t)0x80808080));
    scales_signed(s, o.scale + 4 * i);
    pairs_signed(s, o.pairs + 2 * i);
  }
  o.d = vf_of_high_halves(vi_gather(p, offset + 106));
}
/* The third bit of a weight: bit BIT of every byte. */
template <int BIT> PM_INLINE VI third_bit(VI v) {
  const VI four = vi_set(0x04040404);
  if constexpr (BIT < 2) return vi_and(vi_shl<2 - BIT>(v), four);
  else return vi_and(vi_shr<BIT - 2>(v), four);
}
template <int PART>
PM_INLINE void load_part(Q3_K, const uint8_t *const *p, int64_t offset, const SuperHead &head, VI *w) {
  constexpr int BIT = PART / 2 * 4;
  VI t[4];
  vi_load16(p, offset + 32 + PART * 16, t);
  for (int i = 0; i < 4; i++) {
    const VI bits = head.high[PART % 2 * 4 + i];
    w[i] = vi_or(two_bits<0>(t[i]), third_bit<BIT>(bits));
    w[i + 4] = vi_or(two_bits<1>(t[i]), third_bit<BIT + 1>(bits));
    w[i + 8] = vi_or(two_bits<2>(t[i]), third_bit<BIT + 2>(bits));
    w[i + 12] = vi_or(two_bits<3>(t[i]), third_bit<BIT + 3>(bits));
  }
}

/* Adds one part's scales times dot products. */
template <class Type, int PART, int P, int T>
PM_INLINE void add_part(const VI *const *w, const SuperHead *const *head, const int8_t *const *q, int64_t at,
                        VI (&sum)[P][T]) {
  constexpr int DWORDS = Type::SUB / 4;
  for (int i = 0; i < 64 / Type::SUB; i++) {
    const int sub = sub_block<Type, PART>(i);
    const VI *weights[P];
    VI scale[P];
    for (int p = 0; p < P; p++) {
      weights[p] = w[p] + i * DWORDS;
      scale[p] = head[p]->scale[sub];
    }
    dots<Type::MAX_Q, DWORDS, true, P, T>(weights, scale, q, at + sub * Type::SUB, sum);
  }
}

/* acc += (d * dx) * isum, then -= (dmin * dx) * msum, with both sums exact integers. */
template <class Type>
PM_INLINE VF super_finish(VI sum, const SuperHead &head, const SuperActivation &x, int64_t block, VF acc) {
  const int16_t *xs = Type::SUB == 16 ? x.sum16 + block * 16 : x.sum32 + block * 8;
  VI side = dot_pairs(head.pairs[0], xs);
  for (int s = 2; s < 256 / Type::SUB; s += 2) side = vi_add(side, dot_pairs(head.pairs[s / 2], xs + s));
  const VF dx = vf_set(x.d[block]);
  if constexpr (Type::ZERO == 32) sum = vi_sub(sum, vi_shl<5>(side));
  if constexpr (Type::ZERO == 4) sum = vi_sub(sum, vi_shl<2>(side));
  acc = acc + (head.d * dx) * vf_of(sum);
  if constexpr (Type::HAS_MIN) acc = acc - (head.dmin * dx) * vf_of(side);
  return acc;
}

template <class Type> struct SuperFamily {
  using Panel = SuperPanel;
  using X = SuperActivation;
  static constexpr int BLOCK = 256, BYTES = Type::BYTES;
  PM_INLINE void load(const uint8_t *const *p, int64_t offset, Panel &o) {
    load_head(Type{}, p, offset, o.head);
    load_part<0>(Type{}, p, offset, o.head, o.w[0]);
    load_part<1>(Type{}, p, offset, o.head, o.w[1]);
    load_part<2>(Type{}, p, offset, o.head, o.w[2]);
    load_part<3>(Type{}, p, offset, o.head, o.w[3]);
  }

  /* One super-block of P panels for T tokens. */
  template <int P, int T>
  PM_INLINE void step(const Panel *const *w, const X *x, int64_t block, VF (&acc)[P][T]) {
    const int8_t *q[T];
    VI sum[P][T];
    for (int t = 0; t < T; t++) q[t] = x[t].q;
    for (int p = 0; p < P; p++)
      for (int t = 0; t < T; t++) sum[p][t] = vi_zero();
    step_part<0, P, T>(w, q, block * 256, sum);
    step_part<1, P, T>(w, q, block * 256, sum);
    step_part<2, P, T>(w, q, block * 256, sum);
    step_part<3, P, T>(w, q, block * 256, sum);
    for (int t = 0; t < T; t++)
      for (int p = 0; p < P; p++) acc[p][t] = super_finish<Type>(sum[p][t], w[p]->head, x[t], block, acc[p][t]);
  }
  template <int PART, int P, int T>
  PM_INLINE void step_part(const Panel *const *w, const int8_t *const *q, int64_t at, VI (&sum)[P][T]) {
    const VI *weights[P];
    const SuperHead *head[P];
    for (int p = 0; p < P; p++) {
      weights[p] = w[p]->w[PART];
      head[p] = &w[p]->head;
    }
    add_part<Type, PART, P, T>(weights, head, q, at, sum);
  }

  PM_INLINE void load_and_step(const uint8_t *const *p, int64_t offset, const X &x, int64_t block, VF (&acc)[1][1]) {
    SuperHead head;
    load_head(Type{}, p, offset, head);
    VI sum[1][1] = {{vi_zero()}};
    load_and_add<0>(p, offset, head, x.q, block * 256, sum);
    load_and_add<1>(p, offset, head, x.q, block * 256, sum);
    load_and_add<2>(p, offset, head, x.q, block * 256, sum);
    load_and_add<3>(p, offset, head, x.q, block * 256, sum);
    acc[0][0] = super_finish<Type>(sum[0][0], head, x, block, acc[0][0]);
  }
  template <int PART>
  PM_INLINE void load_and_add(const uint8_t *const *p, int64_t offset, const SuperHead &head, const int8_t *q, int64_t at,
                              VI (&sum)[1][1]) {
    VI w[16];
    load_part<PART>(Type{}, p, offset, head, w);
    const VI *const weights[1] = {w};
    const SuperHead *const heads[1] = {&head};
    add_part<Type, PART, 1, 1>(weights, heads, &q, at, sum);
  }
};

/* Row pointers and numbers of a panel; missing rows repeat the last one, so nothing outside is read. */
PM_INLINE int panel_rows(const MatmulJob &job, int64_t index, const uint8_t **p, int64_t *number) {
  const int rows = job.last - index < LANES ? (int)(job.last - index) : LANES;
  for (int r = 0; r < LANES; r++) {
    number[r] = row_number(job, index + (r < rows ? r : rows - 1));
    p[r] = job.data + number[r] * job.row_bytes;
  }
  return rows;
}

PM_INLINE void put(float *out, const int64_t *number, int rows, VF v) {
  float lane[LANES];
  vf_store(lane, v);
  for (int r = 0; r < rows; r++) out[number[r]] = lane[r];
}

/* Fetches the listed rows of the next panel while one is computed. */
struct ListedRows {
  const uint8_t *const *rows;
  int64_t row_bytes, offset = 0;
  int row = 0, count;

  inline void fetch(int lines) {
    for (int i = 0; i < lines; i++) {
      if (row >= count) return;
      fetch_line(rows[row] + offset);
      offset += 64;
      if (offset >= row_bytes) {
        offset = 0;
        row++;
      }
    }
  }
};

template <class Family, bool LISTED> static void panel_matvec(const MatmulJob &job) {
  const auto x = Family::X::at(job.xs[0], job.cols);
  const int64_t blocks = job.cols / Family::BLOCK, panel_bytes = LANES * job.row_bytes;
  constexpr int LINES = (LANES * Family::BYTES + 63) / 64;
  const uint8_t *p[LANES], *next[LANES];
  int64_t number[LANES], next_number[LANES];
  int next_rows = panel_rows(job, job.first, next, next_number);
  for (int64_t at = 0; at < panel_bytes && at < 8192; at += 64)
    if (!LISTED) fetch_line(next[0] + at);
  for (int64_t index = job.first; index < job.last; index += LANES) {
    const int rows = next_rows;
    memcpy(p, next, sizeof p);
    memcpy(number, next_number, sizeof number);
    const bool more = index + LANES < job.last;
    if (more) next_rows = panel_rows(job, index + LANES, next, next_number);
    ListedRows listed{next, job.row_bytes, 0, 0, LISTED && more ? LANES : 0};
    const uint8_t *ahead = p[0] + panel_bytes;
    VF acc[1][1] = {{vf_set(0.0f)}};
    for (int64_t b = 0; b < blocks; b++) {
      if (LISTED) listed.fetch(LINES);
      else
        for (int i = 0; i < LINES; i++) fetch_line(ahead + 64 * i);
      ahead += LANES * Family::BYTES;
      Family::load_and_step(p, b * Family::BYTES, x, b, acc);
    }
    put(job.outs[0] + job.out_offset, number, rows, acc[0][0]);
  }
}

constexpr int PANELS = 2; /* side by side in a batch: they share the loads of activations */

template <class Family, int T>
PM_INLINE void batch_tile(const typename Family::Panel *const *panels, const uint8_t *const *xs, int64_t cols,
                          int64_t first, int64_t blocks, VF (*acc)[BATCH]) {
  typename Family::X x[T];
  VF a[PANELS][T];
  const typename Family::Panel *w[PANELS];
  for (int t = 0; t < T; t++) x[t] = Family::X::at(xs[t], cols);
  for (int p = 0; p < PANELS; p++) {
    w[p] = panels[p];
    for (int t = 0; t < T; t++) a[p][t] = acc[p][t];
  }
  for (int64_t b = 0; b < blocks; b++) {
    Family::template step<PANELS, T>(w, x, first + b, a);
    for (int p = 0; p < PANELS; p++) w[p]++;
  }
  for (int p = 0; p < PANELS; p++)
    for (int t = 0; t < T; t++) acc[p][t] = a[p][t];
}

/* Tokens by panels: a panel's weights are unpacked once for all tokens. */
template <class Family> static void panel_batch(const MatmulJob &job) {
  using Panel = typename Family::Panel;
  constexpr int64_t CHUNK = CHUNK_COLS / Family::BLOCK;
  static_assert(PANELS * (CHUNK * sizeof(Panel) + BATCH * sizeof(VF)) <= pm::MATMUL_SCRATCH);
  auto *acc = (VF(*)[BATCH])job.scratch;
  Panel *w[PANELS];
  for (int p = 0; p < PANELS; p++) w[p] = (Panel *)(job.scratch + sizeof(VF) * BATCH * PANELS) + CHUNK * p;
  const int64_t blocks = job.cols / Family::BLOCK;
  for (int32_t begin = 0; begin < job.n; begin += BATCH) {
    const int32_t n = job.n - begin < BATCH ? job.n - begin : BATCH;
    const uint8_t *const *xs = job.xs + begin;
    for (int64_t index = job.first; index < job.last; index += LANES * PANELS) {
      const uint8_t *rows[PANELS][LANES];
      int64_t number[PANELS][LANES];
      int used[PANELS];
      for (int p = 0; p < PANELS; p++) {
        /* Beyond the last row a panel repeats it, unused. */
        const int64_t at = index + p * LANES;
        used[p] = panel_rows(job, at < job.last ? at : job.last - 1, rows[p], number[p]);
        if (at >= job.last) used[p] = 0;
        for (int32_t t = 0; t < n; t++) acc[p][t] = vf_set(0.0f);
      }
      for (int64_t first = 0; first < blocks; first += CHUNK) {
        const int64_t count = blocks - first < CHUNK ? blocks - first : CHUNK;
        for (int p = 0; p < PANELS; p++)
          for (int64_t b = 0; b < count; b++) Family::load(rows[p], (first + b) * Family::BYTES, w[p][b]);
        int32_t t = 0;
        VF(*to)[BATCH] = acc;
        for (; t + 4 <= n; t += 4, to = (VF(*)[BATCH])(&(*to)[4]))
          batch_tile<Family, 4>(w, xs + t, job.cols, first, count, to);
        for (; t < n; t++, to = (VF(*)[BATCH])(&(*to)[1]))
          batch_tile<Family, 1>(w, xs + t, job.cols, first, count, to);
      }
      for (int p = 0; p < PANELS; p++)
        for (int32_t t = 0; t < n; t++) put(job.outs[begin + t] + job.out_offset, number[p], used[p], acc[p][t]);
    }
  }
}

template <class Family> static void quantised_matmul(const MatmulJob &job) {
  if (job.n == 1 && job.row_list) panel_matvec<Family, true>(job);
  else if (job.n == 1) panel_matvec<Family, false>(job);
  else panel_batch<Family>(job);
}

template <class T> static void small_matmul(const MatmulJob &job) { quantised_matmul<SmallFamily<T>>(job); }
template <class T> static void super_matmul(const MatmulJob &job) { quantised_matmul<SuperFamily<T>>(job); }

constexpr int32_t PANEL = LANES * PANELS;

#else

/* ---- quantised weights, plain code: the same integers and the same float operations, one row at a time ---- */

PM_INLINE int32_t dot_bytes(const uint8_t *q, const int8_t *x, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; i++) sum += (int32_t)q[i] * x[i];
  return sum;
}

template <class T> PM_INLINE float small_step(const SmallBlock &w, const SmallActivation &x, int64_t b, float acc) {
  const int32_t sum = dot_bytes(w.q, x.q + b * 32, 32) - T::ZERO * x.sum[b];
  acc = acc + (w.d * x.d[b]) * (float)sum;
  if (T::HAS_MIN) acc = acc + (w.m * x.d[b]) * (float)x.sum[b];
  return acc;
}

template <class T> PM_INLINE float super_step(const SuperBlock &w, const SuperActivation &x, int64_t b, float acc) {
  const int16_t *xs = T::SUB == 16 ? x.sum16 + b * 16 : x.sum32 + b * 8;
  int32_t sum = 0, side = 0;
  for (int s = 0; s < 256 / T::SUB; s++) {
    sum += w.scale[s] * dot_bytes(w.q + s * T::SUB, x.q + b * 256 + s * T::SUB, T::SUB);
    side += (T::HAS_MIN ? w.min[s] : w.scale[s]) * xs[s];
  }
  acc = acc + (w.d * x.d[b]) * (float)(sum - T::ZERO * side);
  if (T::HAS_MIN) acc = acc - (w.dmin * x.d[b]) * (float)side;
  return acc;
}

template <class T> static void small_matmul(const MatmulJob &job) {
  for (int64_t index = job.first; index < job.last; index++) {
    const int64_t row = row_number(job, index);
    const uint8_t *p = job.data + row * job.row_bytes;
    for (int32_t t = 0; t < job.n; t++) job.outs[t][job.out_offset + row] = 0.0f;
    for (int64_t b = 0; b < job.cols / 32; b++) {
      SmallBlock w;
      T::unpack(p + b * T::BYTES, w);
      for (int32_t t = 0; t < job.n; t++)
        job.outs[t][job.out_offset + row] = small_step<T>(w, SmallActivation::at(job.xs[t], job.cols), b, job.outs[t][job.out_offset + row]);
    }
  }
}

template <class T> static void super_matmul(const MatmulJob &job) {
  for (int64_t index = job.first; index < job.last; index++) {
    const int64_t row = row_number(job, index);
    const uint8_t *p = job.data + row * job.row_bytes;
    for (int32_t t = 0; t < job.n; t++) job.outs[t][job.out_offset + row] = 0.0f;
    for (int64_t b = 0; b < job.cols / 256; b++) {
      SuperBlock w;
      T::unpack(p + b * T::BYTES, w);
      for (int32_t t = 0; t < job.n; t++)
        job.outs[t][job.out_offset + row] = super_step<T>(w, SuperActivation::at(job.xs[t], job.cols), b, job.outs[t][job.out_offset + row]);
    }
  }
}

constexpr int32_t PANEL = 4;

#endif

static void matmul(const MatmulJob &job) {
  switch (job.type) {
  case PM_F32: return float_matmul<F32>(job);
  case PM_F16: return float_matmul<F16>(job);
  case PM_BF16: return float_matmul<BF16>(job);
  case PM_Q4_0: return small_matmul<Q4_0>(job);
  case PM_Q4_1: return small_matmul<Q4_1>(job);
  case PM_Q5_0: return small_matmul<Q5_0>(job);
  case PM_Q5_1: return small_matmul<Q5_1>(job);
  case PM_Q8_0: return small_matmul<Q8_0>(job);
  case PM_IQ4_NL: return small_matmul<IQ4_NL>(job);
  case PM_MXFP4: return small_matmul<MXFP4>(job);
  case PM_Q2_K: return super_matmul<Q2_K>(job);
  case PM_Q3_K: return super_matmul<Q3_K>(job);
  case PM_Q4_K: return super_matmul<Q4_K>(job);
  case PM_Q5_K: return super_matmul<Q5_K>(job);
  case PM_Q6_K: return super_matmul<Q6_K>(job);
  default: return;
  }
}

/* ---- embedding rows ---- */

template <class T> static void float_row(const uint8_t *row, int64_t cols, float *out) {
  for (int64_t c = 0; c < cols; c++) out[c] = T::scalar(row + c * T::BYTES);
}

template <class T> static void small_row(const uint8_t *row, int64_t cols, float *out) {
  for (int64_t b = 0; b < cols / 32; b++) {
    SmallBlock w;
    T::unpack(row + b * T::BYTES, w);
    for (int i = 0; i < 32; i++) {
      const float value = (float)(w.q[i] - T::ZERO) * w.d;
      out[b * 32 + i] = T::HAS_MIN ? value + w.m : value;
    }
  }
}

template <class T> static void super_row(const uint8_t *row, int64_t cols, float *out) {
  for (int64_t b = 0; b < cols / 256; b++) {
    SuperBlock w;
    T::unpack(row + b * T::BYTES, w);
    for (int i = 0; i < 256; i++) {
      const float value = (w.d * (float)w.scale[i / T::SUB]) * (float)(w.q[i] - T::ZERO);
      out[b * 256 + i] = T::HAS_MIN ? value - w.dmin * (float)w.min[i / T::SUB] : value;
    }
  }
}

static void dequantise_row(int32_t type, const uint8_t *row, int64_t cols, float *out) {
  switch (type) {
  case PM_F32: return float_row<F32>(row, cols, out);
  case PM_F16: return float_row<F16>(row, cols, out);
  case PM_BF16: return float_row<BF16>(row, cols, out);
  case PM_Q4_0: return small_row<Q4_0>(row, cols, out);
  case PM_Q4_1: return small_row<Q4_1>(row, cols, out);
  case PM_Q5_0: return small_row<Q5_0>(row, cols, out);
  case PM_Q5_1: return small_row<Q5_1>(row, cols, out);
  case PM_Q8_0: return small_row<Q8_0>(row, cols, out);
  case PM_IQ4_NL: return small_row<IQ4_NL>(row, cols, out);
  case PM_MXFP4: return small_row<MXFP4>(row, cols, out);
  case PM_Q2_K: return super_row<Q2_K>(row, cols, out);
  case PM_Q3_K: return super_row<Q3_K>(row, cols, out);
  case PM_Q4_K: return super_row<Q4_K>(row, cols, out);
  case PM_Q5_K: return super_row<Q5_K>(row, cols, out);
  case PM_Q6_K: return super_row<Q6_K>(row, cols, out);
  default: return;
  }
}

} // namespace

namespace pm::PM_ISA {
const MatmulTable matmul_table = {PANEL, matmul, dequantise_row};
}
