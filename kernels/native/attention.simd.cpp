/* Attention of a few queries that share a KV head, over one segment of positions.
 *
 * Positions are taken in chunks of ATTENTION_CHUNK at absolute multiples of it, so what a query does depends only
 * on its own position and window: not on its neighbours in the batch, nor on where the cache began.
 */
#include "exports.h"
#include "simd.h"
#include "simd_tables.h"

#include <math.h>

namespace {

using pm::ATTENTION_CHUNK;
using pm::ATTENTION_SEGMENT;
using pm::AttentionJob;
using pm::AttentionState;

static inline int64_t cache_bytes(int32_t type, int64_t elements) {
  return type == PM_F32 ? elements * 4 : type == PM_F16 ? elements * 2 : elements / 32 * 34;
}

/* One head of one cache row as floats, padded with zeros. */
static inline void load_head(int32_t type, const uint8_t *p, int32_t n, int32_t padded, float *out) {
  int32_t i = 0;
  if (type == PM_F32) {
    memcpy(out, p, (size_t)n * 4);
    i = n;
  } else if (type == PM_F16) {
    for (; i + NF <= n; i += NF) vf_store(out + i, vf_load_halves(p + 2 * i));
    for (; i < n; i++) out[i] = load_half(p + 2 * i);
  } else {
    for (; i < n; i += 32, p += 34) {
      const VF d = vf_set(load_half(p));
      for (int j = 0; j < 32; j += NF) vf_store(out + i + j, d * vf_load_bytes((const int8_t *)p + 2 + j));
    }
  }
  for (; i < padded; i++) out[i] = 0.0f;
}

/* Scores of QUERIES queries with four positions. */
template <int QUERIES>
PM_INLINE void score_tile(const float *q, const float *k, int64_t padded, float scale, float *scores) {
  VF a[QUERIES][4];
  for (int i = 0; i < QUERIES; i++)
    for (int j = 0; j < 4; j++) a[i][j] = vf_set(0.0f);
  for (int64_t c = 0; c < padded; c += NF) {
    VF kv[4];
    for (int j = 0; j < 4; j++) kv[j] = vf_load(k + j * padded + c);
    for (int i = 0; i < QUERIES; i++) {
      const VF qv = vf_load(q + i * padded + c);
      for (int j = 0; j < 4; j++) a[i][j] = vf_fma(qv, kv[j], a[i][j]);
    }
  }
  for (int i = 0; i < QUERIES; i++) {
    float *out = scores + i * ATTENTION_CHUNK;
    vf_reduce4(a[i][0], a[i][1], a[i][2], a[i][3], out);
    for (int j = 0; j < 4; j++) out[j] *= scale;
  }
}

/* value[i] += sum_j p[i][j] * v[j], j in order, for QUERIES queries. */
template <int QUERIES>
PM_INLINE void value_tile(const float *p, const float *v, int32_t begin, int32_t end, int64_t padded, float *value) {
  constexpr int VECTORS = 16 / NF < 2 ? 16 / NF : 2;
  for (int64_t c = 0; c < padded; c += VECTORS * NF) {
    VF a[QUERIES][VECTORS];
    for (int i = 0; i < QUERIES; i++)
      for (int x = 0; x < VECTORS; x++) a[i][x] = vf_load(value + i * padded + c + x * NF);
    for (int32_t j = begin; j < end; j++) {
      VF row[VECTORS];
      for (int x = 0; x < VECTORS; x++) row[x] = vf_load(v + j * padded + c + x * NF);
      for (int i = 0; i < QUERIES; i++) {
        const VF pv = vf_set(p[i * ATTENTION_CHUNK + j]);
        for (int x = 0; x < VECTORS; x++) a[i][x] = vf_fma(pv, row[x], a[i][x]);
      }
    }
    for (int i = 0; i < QUERIES; i++)
      for (int x = 0; x < VECTORS; x++) vf_store(value + i * padded + c + x * NF, a[i][x]);
  }
}

/* Turns scores[begin, end) into exponentials of their distance to the running maximum; the rest into 0. */
static inline void soften(float *scores, int32_t begin, int32_t end, float *max, float *sum, float *value,
                          int64_t padded) {
  for (int32_t j = 0; j < ATTENTION_CHUNK; j++)
    if (j < begin || j >= end) scores[j] = -INFINITY;
  VF high = vf_load(scores);
  for (int32_t j = NF; j < ATTENTION_CHUNK; j += NF) high = vf_max(high, vf_load(scores + j));
  float lane[NF];
  vf_store(lane, high);
  float top = lane[0];
  for (int l = 1; l < NF; l++) top = lane[l] > top ? lane[l] : top;
  if (top > *max) {
    /* vf_exp(-inf) is 0: the first chunk starts from nothing. */
    vf_store(lane, vf_exp(vf_set(*max - top)));
    const VF shrink = vf_set(lane[0]);
    *sum *= lane[0];
    for (int64_t c = 0; c < padded; c += NF) vf_store(value + c, vf_load(value + c) * shrink);
    *max = top;
  }
  const VF reference = vf_set(*max);
  VF total = vf_set(0.0f);
  for (int32_t j = 0; j < ATTENTION_CHUNK; j += NF) {
    const VF e = vf_exp(vf_load(scores + j) - reference);
    vf_store(scores + j, e);
    total = total + e;
  }
  float four[4];
  vf_reduce4(total, vf_set(0.0f), vf_set(0.0f), vf_set(0.0f), four);
  *sum += four[0];
}

static void segment(const AttentionJob &job, int32_t token, int32_t tokens, int32_t kv_head, int32_t number,
                    const AttentionState &state, float *scratch) {
  const int32_t share = job.heads / job.kv_heads, n = tokens * share;
  const int64_t padded = pm::attention_padded(job.head_size);
  float *q = scratch, *kv = q + n * padded, *scores = kv + ATTENTION_CHUNK * padded;
  for (int32_t i = 0; i < n; i++) {
    const float *from = job.q + (int64_t)(token + i / share) * job.q_stride +
                        (int64_t)(kv_head * share + i % share) * job.head_size;
    memcpy(q + i * padded, from, (size_t)job.head_size * 4);
    for (int64_t c = job.head_size; c < padded; c++) q[i * padded + c] = 0.0f;
    state.max[i] = -INFINITY;
    state.sum[i] = 0.0f;
    memset(state.value + i * padded, 0, (size_t)padded * 4);
  }
  const int64_t row = cache_bytes(job.type, (int64_t)job.kv_heads * job.head_size);
  const int64_t head = cache_bytes(job.type, (int64_t)kv_head * job.head_size);
  /* Positions that any of the queries sees, in this segment. */
  const int32_t first_query = job.pos0 + token, last_query = first_query + tokens - 1;
  const int32_t seen = job.window > 0 && first_query - job.window + 1 > 0 ? first_query - job.window + 1 : 0;
  const int32_t from = seen > number * ATTENTION_SEGMENT ? seen : number * ATTENTION_SEGMENT;
  const int32_t to = last_query + 1 < (number + 1) * ATTENTION_SEGMENT ? last_query + 1 : (number + 1) * ATTENTION_SEGMENT;

  for (int32_t base = from - from % ATTENTION_CHUNK; base < to; base += ATTENTION_CHUNK) {
    const int32_t low = from > base ? from - base : 0;
    const int32_t high = to - base < ATTENTION_CHUNK ? to - base : ATTENTION_CHUNK;
    for (int32_t j = low; j < high; j++)
      load_head(job.type, job.cache_k + (base + j) * row + head, job.head_size, (int32_t)padded, kv + j * padded);
    /* Whole fours are scored; rows outside [low, high) hold what was there and their scores are thrown away. */
    for (int32_t j = low & ~3; j < high; j += 4) {
      int32_t i = 0;
      for (; i + 2 <= n; i += 2)
        score_tile<2>(q + i * padded, kv + j * padded, padded, job.scale, scores + i * ATTENTION_CHUNK + j);
      for (; i < n; i++)
        score_tile<1>(q + i * padded, kv + j * padded, padded, job.scale, scores + i * ATTENTION_CHUNK + j);
    }
    for (int32_t j = low; j < high; j++)
      load_head(job.type, job.cache_v + (base + j) * row + head, job.head_size, (int32_t)padded, kv + j * padded);
    /* Neighbouring queries of the same token see the same positions and share the values' loads. */
    for (int32_t i = 0; i < n;) {
      const int32_t position = first_query + i / share;
      const int32_t oldest = job.window > 0 && position - job.window + 1 > 0 ? position - job.window + 1 : 0;
      const int32_t begin = oldest - base > low ? oldest - base : low;
      const int32_t end = position + 1 - base < high ? position + 1 - base : high;
      /* Queries that see the whole chunk can be grouped over tokens as well. */
      int32_t group = share - i % share;
      if (begin <= low && end >= high) {
        const int32_t last = first_query + (i + 3 < n ? i + 3 : n - 1) / share;
        const int32_t last_oldest = job.window > 0 && last - job.window + 1 > 0 ? last - job.window + 1 : 0;
        if (last_oldest - base <= low) group = n - i;
      }
      group = group < 4 ? group : 4;
      if (begin < end) {
        for (int32_t g = i; g < i + group; g++)
          soften(scores + g * ATTENTION_CHUNK, begin, end, &state.max[g], &state.sum[g], state.value + g * padded,
                 padded);
        const float *p = scores + i * ATTENTION_CHUNK;
        float *value = state.value + i * padded;
        if (group == 4) value_tile<4>(p, kv, begin, end, padded, value);
        else if (group == 3) value_tile<3>(p, kv, begin, end, padded, value);
        else if (group == 2) value_tile<2>(p, kv, begin, end, padded, value);
        else value_tile<1>(p, kv, begin, end, padded, value);
      }
      i += group;
    }
  }
}

static void merge(const AttentionState &into, const AttentionState &from, int32_t n, int32_t padded) {
  for (int32_t i = 0; i < n; i++) {
    if (from.sum[i] == 0.0f) continue; /* saw nothing there */
    if (into.sum[i] == 0.0f) {
      into.max[i] = from.max[i];
      into.sum[i] = from.sum[i];
      memcpy(into.value + (int64_t)i * padded, from.value + (int64_t)i * padded, (size_t)padded * 4);
      continue;
    }
    const float top = into.max[i] > from.max[i] ? into.max[i] : from.max[i];
    float lane[NF];
    vf_store(lane, vf_exp(vf_set(into.max[i] - top)));
    const float old_share = lane[0];
    vf_store(lane, vf_exp(vf_set(from.max[i] - top)));
    const float new_share = lane[0];
    into.sum[i] = into.sum[i] * old_share + from.sum[i] * new_share;
    into.max[i] = top;
    float *a = into.value + (int64_t)i * padded;
    const float *b = from.value + (int64_t)i * padded;
    for (int32_t c = 0; c < padded; c += NF)
      vf_store(a + c, vf_load(a + c) * vf_set(old_share) + vf_load(b + c) * vf_set(new_share));
  }
}

} // namespace

namespace pm::PM_ISA {
const AttentionTable attention_table = {segment, merge};
}
