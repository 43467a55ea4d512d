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
  static inline VF load(const uint8_t *p) { return vf_load((const float *)p); }
  static inline float scalar(const uint8_t *p) { return float_of_bits(load_u32(p)); }
};
struct F16 {
  static constexpr int BYTES = 2;
  static inline VF load(const uint8_t *p) { return vf_load_halves(p); }
  static inline float scalar(const uint8_t *p) { return load_half(p); }
};
struct BF16 {
  static constexpr int BYTES = 2;
  static inline VF load(const uint8_t *p) { return vf_load_bfloats(p); }
  static inline float scalar(const uint8_t *p) { return bfloat_to_float(load_u16(p)); }
};

/* ROWS x COLS dot products. Each has two accumulators (even and odd vectors), added at the end; the tail is
 * padded with zeros, so every tile shape does the same operations per product. */
template <class T, int ROWS, int TOKENS>
static inline void float_tile(const uint8_t *const *rows, int64_t cols, const float *const *xs, float *out) {
  VF even[ROWS][TOKENS], odd[ROWS][TOKENS];
  for (int r = 0; r < ROWS; r++)
    for (int t = 0; t < TOKENS; t++) even[r][t] = odd[r][t] = vf_set(0.0f);
  int64_t k = 0;
  for (; k + 2 * NF <= cols; k += 2 * NF) {
    VF w0[ROWS], w1[ROWS];
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

static inline int64_t row_number(const MatmulJob &job, int64_t index) {
  return job.row_list ? job.row_list[index] : index;
}

template <class T, int ROWS, int TOKENS>
static inline void float_block(const MatmulJob &job, int64_t index, int32_t token) {
  const uint8_t *rows[ROWS];
  const float *xs[TOKENS];
  int64_t number[ROWS];
  float result[ROWS * TOKENS];
  for (int r = 0; r < ROWS; r++) {
    number[r] = row_number(job, index + r);
    rows[r] = job.data + number[r] * job.row_bytes;
  }
  for (int t = 0; t < TOKENS; t++) xs[t] = (const float *)job.xs[token + t];
  float_tile<T, ROWS, TOKENS>(rows, job.cols, xs, result);
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

#if defined(PM_USE_AVX512) || defined(PM_USE_AVX2) || defined(PM_USE_NEON)

/* ---- quantised weights: panels of LANES rows, lane = row ---- */

constexpr int CHUNK_COLS = 2048; /* columns unpacked at a time for a batch: a panel of them stays in L1 */
constexpr int BATCH = 128;       /* tokens per pass over a panel */

struct SmallPanel {
  VI w[8];
  VF d, m;
};

static inline VF gather_halves(const uint8_t *const *p, int64_t offset) {
  uint32_t h[LANES];
  for (int r = 0; r < LANES; r++) h[r] = load_u16(p[r] + offset);
  VI v;
  memcpy(&v, h, sizeof v);
  return vf_of_halves(v);
}

static inline VI low_nibbles(VI v) { return vi_and(v, vi_set(0x0f0f0f0f)); }
static inline VI high_nibbles(VI v) { return vi_and(vi_shr<4>(v), vi_set(0x0f0f0f0f)); }

/* Types without code of their own below go through the plain unpacking. */
template <class T> struct SmallLoad {
  static inline void load(const uint8_t *const *p, int64_t offset, SmallPanel &o) {
    SmallBlock block[LANES];
    const uint8_t *q[LANES];
    float d[LANES], m[LANES];
    for (int r = 0; r < LANES; r++) {
      T::unpack(p[r] + offset, block[r]);
      q[r] = block[r].q;
      d[r] = block[r].d;
      m[r] = T::HAS_MIN ? block[r].m : 0.0f;
    }
    vi_load16(q, 0, o.w);
    vi_load16(q, 16, o.w + 4);
    if (T::MAX_Q == 255 && WIDE_SIGNED)
      for (int i = 0; i < 8; i++) o.w[i] = vi_xor(o.w[i], vi_set((int32_t)0x80808080));
    o.d = vf_load(d);
    o.m = vf_load(m);
  }
};

template <> struct SmallLoad<Q4_0> {
  static inline void load(const uint8_t *const *p, int64_t offset, SmallPanel &o) {
    VI t[4];
    vi_load16(p, offset + 2, t);
    for (int i = 0; i < 4; i++) {
      o.w[i] = low_nibbles(t[i]);
      o.w[i + 4] = high_nibbles(t[i]);
    }
    o.d = gather_halves(p, offset);
  }
};

template <> struct SmallLoad<Q8_0> {
  static inline void load(const uint8_t *const *p, int64_t offset, SmallPanel &o) {
    vi_load16(p, offset + 2, o.w);
    vi_load16(p, offset + 18, o.w + 4);
    if (!WIDE_SIGNED)
      for (int i = 0; i < 8; i++) o.w[i] = vi_xor(o.w[i], vi_set((int32_t)0x80808080));
    o.d = gather_halves(p, offset);
  }
};

template <> struct SmallLoad<MXFP4> {
  static inline void load(const uint8_t *const *p, int64_t offset, SmallPanel &o) {
    VI t[4];
    vi_load16(p, offset + 1, t);
    for (int i = 0; i < 4; i++) {
      o.w[i] = vi_bytes(MXFP4_VALUES, low_nibbles(t[i]));
      o.w[i + 4] = vi_bytes(MXFP4_VALUES, high_nibbles(t[i]));
    }
    float d[LANES];
    for (int r = 0; r < LANES; r++) d[r] = half_e8m0(p[r][offset]);
    o.d = vf_load(d);
  }
};

/* acc += (d * dx) * (q - ZERO)·x, and += (m * dx) * sum(x) for types with a minimum. */
template <class T>
static inline VF small_step(const SmallPanel &w, const SmallActivation &x, int64_t block, VF acc) {
  constexpr int zero = T::MAX_Q == 255 && WIDE_SIGNED ? 0 : T::ZERO;
  VI dots = dot<T::MAX_Q, 8>(w.w, x.q + block * 32);
  if constexpr (zero == 8) dots = vi_sub(dots, vi_shl<3>(vi_set(x.sum[block])));
  else if constexpr (zero == 16) dots = vi_sub(dots, vi_shl<4>(vi_set(x.sum[block])));
  else if constexpr (zero == 128) dots = vi_sub(dots, vi_shl<7>(vi_set(x.sum[block])));
  else if constexpr (zero != 0) dots = vi_sub(dots, vi_set(zero * x.sum[block]));
  const VF dx = vf_set(x.d[block]);
  acc = acc + (w.d * dx) * vf_of(dots);
  if constexpr (T::HAS_MIN) acc = acc + (w.m * dx) * vf_set((float)x.sum[block]);
  return acc;
}

template <class T> struct SmallFamily {
  using Panel = SmallPanel;
  using X = SmallActivation;
  static constexpr int BLOCK = 32, BYTES = T::BYTES;
  static inline void load(const uint8_t *const *p, int64_t offset, Panel &o) { SmallLoad<T>::load(p, offset, o); }
  static inline VF step(const Panel &w, const X &x, int64_t block, VF acc) { return small_step<T>(w, x, block, acc); }
};

struct SuperPanel {
  VI w[64];
  VI scale[16]; /* as dot_scaled wants them; 256 / SUB used */
  VI pairs[8];  /* 16-bit pairs: minimums, or scales where ZERO is subtracted */
  VF d, dmin;
};

template <class T> struct SuperLoad {
  static inline void load(const uint8_t *const *p, int64_t offset, SuperPanel &o) {
    constexpr int SUBS = 256 / T::SUB;
    SuperBlock block[LANES];
    const uint8_t *q[LANES];
    float d[LANES], dmin[LANES];
    for (int r = 0; r < LANES; r++) {
      T::unpack(p[r] + offset, block[r]);
      q[r] = block[r].q;
      d[r] = block[r].d;
      dmin[r] = T::HAS_MIN ? block[r].dmin : 0.0f;
    }
    for (int i = 0; i < 16; i++) vi_load16(q, i * 16, o.w + i * 4);
    for (int s = 0; s < SUBS; s++) {
      int32_t lane[LANES];
      for (int r = 0; r < LANES; r++) lane[r] = block[r].scale[s];
      VI v;
      memcpy(&v, lane, sizeof v);
      o.scale[s] = scale_of(v);
    }
    for (int s = 0; s < SUBS; s += 2) {
      int16_t lane[2 * LANES];
      for (int r = 0; r < LANES; r++)
        for (int i = 0; i < 2; i++) lane[2 * r + i] = T::HAS_MIN ? block[r].min[s + i] : block[r].scale[s + i];
      memcpy(&o.pairs[s / 2], lane, sizeof(VI));
    }
    o.d = vf_load(d);
    o.dmin = vf_load(dmin);
  }
};

/* acc += (d * dx) * isum, then -= (dmin * dx) * msum, with both sums exact integers. */
template <class T>
static inline VF super_step(const SuperPanel &w, const SuperActivation &x, int64_t block, VF acc) {
  constexpr int SUBS = 256 / T::SUB, DWORDS = T::SUB / 4;
  const int8_t *q = x.q + block * 256;
  VI sum = dot_scaled<T::MAX_Q, DWORDS>(w.w, q, w.scale[0]);
  for (int s = 1; s < SUBS; s++)
    sum = vi_add(sum, dot_scaled<T::MAX_Q, DWORDS>(w.w + s * DWORDS, q + s * T::SUB, w.scale[s]));
  const int16_t *xs = T::SUB == 16 ? x.sum16 + block * 16 : x.sum32 + block * 8;
  VI side = dot_pairs(w.pairs[0], xs);
  for (int s = 2; s < SUBS; s += 2) side = vi_add(side, dot_pairs(w.pairs[s / 2], xs + s));
  const VF dx = vf_set(x.d[block]);
  if constexpr (T::ZERO == 32) sum = vi_sub(sum, vi_shl<5>(side));
  if constexpr (T::ZERO == 4) sum = vi_sub(sum, vi_shl<2>(side));
  acc = acc + (w.d * dx) * vf_of(sum);
  if constexpr (T::HAS_MIN) acc = acc - (w.dmin * dx) * vf_of(side);
  return acc;
}

template <class T> struct SuperFamily {
  using Panel = SuperPanel;
  using X = SuperActivation;
  static constexpr int BLOCK = 256, BYTES = T::BYTES;
  static inline void load(const uint8_t *const *p, int64_t offset, Panel &o) { SuperLoad<T>::load(p, offset, o); }
  static inline VF step(const Panel &w, const X &x, int64_t block, VF acc) { return super_step<T>(w, x, block, acc); }
};

/* Row pointers and numbers of a panel; missing rows repeat the last one, so nothing outside is read. */
static inline int panel_rows(const MatmulJob &job, int64_t index, const uint8_t **p, int64_t *number) {
  const int rows = job.last - index < LANES ? (int)(job.last - index) : LANES;
  for (int r = 0; r < LANES; r++) {
    number[r] = row_number(job, index + (r < rows ? r : rows - 1));
    p[r] = job.data + number[r] * job.row_bytes;
  }
  return rows;
}

static inline void put(float *out, const int64_t *number, int rows, VF v) {
  float lane[LANES];
  vf_store(lane, v);
  for (int r = 0; r < rows; r++) out[number[r]] = lane[r];
}

template <class Family> static void panel_matvec(const MatmulJob &job) {
  const auto x = Family::X::at(job.xs[0], job.cols);
  const int64_t blocks = job.cols / Family::BLOCK;
  for (int64_t index = job.first; index < job.last; index += LANES) {
    const uint8_t *p[LANES];
    int64_t number[LANES];
    const int rows = panel_rows(job, index, p, number);
    VF acc = vf_set(0.0f);
    typename Family::Panel w;
    for (int64_t b = 0; b < blocks; b++) {
      Family::load(p, b * Family::BYTES, w);
      acc = Family::step(w, x, b, acc);
    }
    put(job.outs[0] + job.out_offset, number, rows, acc);
  }
}

template <class Family, int N>
static inline void panel_tile(const typename Family::Panel *w, const uint8_t *const *xs, int64_t cols, int64_t first,
                              int64_t blocks, VF *acc) {
  typename Family::X x[N];
  VF a[N];
  for (int t = 0; t < N; t++) {
    x[t] = Family::X::at(xs[t], cols);
    a[t] = acc[t];
  }
  for (int64_t b = 0; b < blocks; b++)
    for (int t = 0; t < N; t++) a[t] = Family::step(w[b], x[t], first + b, a[t]);
  for (int t = 0; t < N; t++) acc[t] = a[t];
}

template <class Family> static void panel_batch(const MatmulJob &job) {
  constexpr int64_t CHUNK = CHUNK_COLS / Family::BLOCK;
  static_assert(CHUNK * sizeof(typename Family::Panel) + BATCH * sizeof(VF) <= pm::MATMUL_SCRATCH);
  auto *w = (typename Family::Panel *)job.scratch;
  VF *acc = (VF *)(w + CHUNK);
  const int64_t blocks = job.cols / Family::BLOCK;
  for (int32_t begin = 0; begin < job.n; begin += BATCH) {
    const int32_t n = job.n - begin < BATCH ? job.n - begin : BATCH;
    for (int64_t index = job.first; index < job.last; index += LANES) {
      const uint8_t *p[LANES];
      int64_t number[LANES];
      const int rows = panel_rows(job, index, p, number);
      for (int32_t t = 0; t < n; t++) acc[t] = vf_set(0.0f);
      for (int64_t first = 0; first < blocks; first += CHUNK) {
        const int64_t count = blocks - first < CHUNK ? blocks - first : CHUNK;
        for (int64_t b = 0; b < count; b++) Family::load(p, (first + b) * Family::BYTES, w[b]);
        const uint8_t *const *xs = job.xs + begin;
        int32_t t = 0;
        for (; t + 4 <= n; t += 4) panel_tile<Family, 4>(w, xs + t, job.cols, first, count, acc + t);
        for (; t < n; t++) panel_tile<Family, 1>(w, xs + t, job.cols, first, count, acc + t);
      }
      for (int32_t t = 0; t < n; t++) put(job.outs[begin + t] + job.out_offset, number, rows, acc[t]);
    }
  }
}

template <class Family> static void quantised_matmul(const MatmulJob &job) {
  if (job.n == 1) panel_matvec<Family>(job);
  else panel_batch<Family>(job);
}

template <class T> static void small_matmul(const MatmulJob &job) { quantised_matmul<SmallFamily<T>>(job); }
template <class T> static void super_matmul(const MatmulJob &job) { quantised_matmul<SuperFamily<T>>(job); }

constexpr int32_t PANEL = LANES;

#else

/* ---- quantised weights, plain code: the same integers and the same float operations, one row at a time ---- */

static inline int32_t dot_bytes(const uint8_t *q, const int8_t *x, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; i++) sum += (int32_t)q[i] * x[i];
  return sum;
}

template <class T> static inline float small_step(const SmallBlock &w, const SmallActivation &x, int64_t b, float acc) {
  const int32_t sum = dot_bytes(w.q, x.q + b * 32, 32) - T::ZERO * x.sum[b];
  acc = acc + (w.d * x.d[b]) * (float)sum;
  if (T::HAS_MIN) acc = acc + (w.m * x.d[b]) * (float)x.sum[b];
  return acc;
}

template <class T> static inline float super_step(const SuperBlock &w, const SuperActivation &x, int64_t b, float acc) {
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
