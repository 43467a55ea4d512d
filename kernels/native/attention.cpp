/* Cache rows and attention: how the work is divided. */
#include "exports.h"
#include "pool.h"
#include "simd_tables.h"

void pm_kv_store(const float *k, const float *v, int64_t stride, void *cache_k, void *cache_v, int32_t type,
                 int32_t tokens, int32_t pos0, int32_t kv_heads, int32_t head_size) {
  const int64_t n = (int64_t)kv_heads * head_size;
  const int64_t row = type == PM_F32 ? n * 4 : type == PM_F16 ? n * 2 : n / 32 * 34;
  const pm::VectorTable &f = *pm::isa().vector;
  for (int32_t t = 0; t < tokens; t++) {
    for (int side = 0; side < 2; side++) {
      const float *from = (side ? v : k) + t * stride;
      uint8_t *to = (uint8_t *)(side ? cache_v : cache_k) + (pos0 + t) * row;
      if (type == PM_F32) __builtin_memcpy(to, from, (size_t)row);
      else if (type == PM_F16) f.store_halves(from, n, to);
      else f.store_q8(from, n, to);
    }
  }
}

void pm_attention(pm_pool *pool, const float *q, int64_t q_stride, const void *cache_k, const void *cache_v,
                  int32_t type, float *out, int64_t out_stride, int32_t tokens, int32_t pos0, int32_t heads,
                  int32_t kv_heads, int32_t head_size, int32_t window, float scale) {
  using namespace pm;
  if (tokens <= 0) return;
  AttentionJob job;
  job.q = q;
  job.q_stride = q_stride;
  job.cache_k = (const uint8_t *)cache_k;
  job.cache_v = (const uint8_t *)cache_v;
  job.type = type;
  job.pos0 = pos0;
  job.heads = heads;
  job.kv_heads = kv_heads;
  job.head_size = head_size;
  job.window = window;
  job.scale = scale;

  const int32_t share = heads / kv_heads, threads = pool->threads();
  const int64_t padded = attention_padded(head_size);
  /* Tokens in one piece of work: enough queries to share the loads of keys and values, enough pieces for all. */
  int32_t tile = 32 / share;
  const int32_t even = (tokens * kv_heads + threads * 4 - 1) / (threads * 4);
  tile = tile < even ? tile : even;
  tile = tile > 0 ? tile : 1;
  const int32_t tiles = (tokens + tile - 1) / tile, pieces = tiles * kv_heads;
  const int32_t queries = tile * share;
  const int64_t state_floats = (queries * (padded + 2) + 15) & ~(int64_t)15;
  const int64_t work_floats = attention_scratch(queries, head_size);
  const auto state_at = [&](float *p) { return AttentionState{p + queries * padded, p + queries * (padded + 1), p}; };
  const auto first_segment = [&](int32_t token) {
    const int32_t oldest = window > 0 && pos0 + token - window + 1 > 0 ? pos0 + token - window + 1 : 0;
    return oldest / ATTENTION_SEGMENT;
  };
  const auto last_segment = [&](int32_t token) { return (pos0 + token) / ATTENTION_SEGMENT; };
  const auto finish = [&](const AttentionState &s, int32_t token, int32_t n_tokens, int32_t kv_head) {
    for (int32_t i = 0; i < n_tokens * share; i++) {
      const float inverse = 1.0f / s.sum[i];
      const float *from = s.value + i * padded;
      float *to = out + (token + i / share) * out_stride + (int64_t)(kv_head * share + i % share) * head_size;
      for (int32_t c = 0; c < head_size; c++) to[c] = from[c] * inverse;
    }
  };
  const AttentionTable &f = *isa().attention;

  const int32_t segments = last_segment(tokens - 1) - first_segment(0) + 1;
  if (segments > 1 && pieces < threads * 2) {
    /* Few queries, long context: segments are shared out and merged in order afterwards. */
    float *states = (float *)pool->shared(pm_pool::STATE).get((size_t)(state_floats * segments * pieces * 4));
    if (!states) return;
    const int32_t begin = first_segment(0);
    pool->each(pieces * segments, [&](int32_t chunk, int32_t thread) {
      const int32_t piece = chunk / segments, segment = begin + chunk % segments;
      const int32_t token = piece / kv_heads * tile, n = tokens - token < tile ? tokens - token : tile;
      float *work = (float *)pool->own(thread).get((size_t)work_floats * 4);
      if (work) f.segment(job, token, n, piece % kv_heads, segment, state_at(states + state_floats * chunk), work);
    });
    for (int32_t piece = 0; piece < pieces; piece++) {
      const int32_t token = piece / kv_heads * tile, n = tokens - token < tile ? tokens - token : tile;
      const AttentionState all = state_at(states + state_floats * piece * segments);
      for (int32_t s = 1; s < segments; s++)
        f.merge(all, state_at(states + state_floats * (piece * segments + s)), n * share, (int32_t)padded);
      finish(all, token, n, piece % kv_heads);
    }
    return;
  }
  pool->each(pieces, [&](int32_t piece, int32_t thread) {
    const int32_t token = piece / kv_heads * tile, n = tokens - token < tile ? tokens - token : tile;
    float *work = (float *)pool->own(thread).get((size_t)(work_floats + 2 * state_floats) * 4);
    if (!work) return;
    const AttentionState all = state_at(work + work_floats), next = state_at(work + work_floats + state_floats);
    const int32_t begin = first_segment(token), end = last_segment(token + n - 1);
    f.segment(job, token, n, piece % kv_heads, begin, all, work);
    for (int32_t s = begin + 1; s <= end; s++) {
      f.segment(job, token, n, piece % kv_heads, s, next, work);
      f.merge(all, next, n * share, (int32_t)padded);
    }
    finish(all, token, n, piece % kv_heads);
  });
}
