/* Dense matrices times activations, and embedding lookup. */
#include "activation.h"
#include "matmul.h"
#include "simd_tables.h"

namespace pm {

int64_t activation_bytes(Activations form, int64_t cols) {
  return form == Activations::Small ? SmallActivation::bytes(cols)
         : form == Activations::Super ? SuperActivation::bytes(cols)
                                      : 0;
}

void activation_row(Activations form, const float *x, int64_t cols, uint8_t *out) {
  if (form == Activations::Small) isa().vector->quantise_small(x, cols, out);
  else isa().vector->quantise_super(x, cols, out);
}

int64_t chunk_rows(int64_t total_rows, int64_t row_bytes, int32_t tokens, int32_t threads) {
  const int64_t panel = isa().matmul->panel;
  /* Enough chunks to even out threads of different speed, but none below about 2 microseconds of work. */
  const int64_t smallest = 32768 / (row_bytes * (tokens < 8 ? tokens : 8)) + 1;
  int64_t rows = total_rows / (threads * 8) + 1;
  rows = rows > smallest ? rows : smallest;
  if (threads == 1 && tokens == 1) rows = total_rows;
  rows = (rows + panel - 1) / panel * panel;
  /* A batch reads its rows once per pass of tokens: they should stay in the L2 cache. */
  if (tokens > 1) {
    const int64_t most = 131072 / row_bytes / panel * panel;
    rows = rows < most ? rows : most > panel ? most : panel;
  }
  return rows;
}

} // namespace pm

void pm_linear(pm_pool *pool, const pm_matrix *matrices, int32_t count, const float *x, int64_t x_stride, float *out,
               int64_t out_stride, int32_t tokens) {
  using namespace pm;
  if (count <= 0 || tokens <= 0) return;
  const int64_t cols = matrices[0].cols;
  /* x is converted once per form that some matrix wants. */
  bool wanted[3] = {};
  for (int32_t m = 0; m < count; m++) wanted[(int)weight_type(matrices[m].type).activations] = true;
  int64_t bytes[3] = {}, begin[3] = {}, total = 0;
  for (int form = 1; form < 3; form++) {
    if (!wanted[form]) continue;
    bytes[form] = activation_bytes((Activations)form, cols);
    begin[form] = total;
    total += bytes[form] * tokens;
  }
  uint8_t *converted = total ? pool->shared(pm_pool::INPUT).get((size_t)total) : nullptr;
  /* [form][token] activations, then [token] outputs. */
  auto **pointers = (uint8_t **)pool->shared(pm_pool::POINTERS).get(sizeof(void *) * 4 * (size_t)tokens);
  if (!pointers || (total && !converted)) return;
  auto **xs = pointers;
  auto **outs = (float **)(pointers + 3 * (int64_t)tokens);
  for (int32_t t = 0; t < tokens; t++) {
    xs[t] = (uint8_t *)(x + t * x_stride);
    for (int form = 1; form < 3; form++) xs[form * (int64_t)tokens + t] = converted + begin[form] + bytes[form] * t;
  }
  if (total) {
    const auto convert = [&](int32_t t, int32_t) {
      for (int form = 1; form < 3; form++)
        if (wanted[form]) activation_row((Activations)form, x + t * x_stride, cols, xs[form * (int64_t)tokens + t]);
    };
    if (tokens < 4) for (int32_t t = 0; t < tokens; t++) convert(t, 0);
    else pool->each(tokens, convert);
  }
  for (int32_t t = 0; t < tokens; t++) outs[t] = out + t * out_stride;

  int64_t rows = 0, row_weight = 1;
  for (int32_t m = 0; m < count; m++) {
    rows += matrices[m].rows;
    const int64_t b = row_bytes(weight_type(matrices[m].type), cols);
    row_weight = b > row_weight ? b : row_weight;
  }
  const int64_t step = chunk_rows(rows, row_weight, tokens, pool->threads());
  int32_t chunks = 0;
  for (int32_t m = 0; m < count; m++) chunks += (int32_t)((matrices[m].rows + step - 1) / step);
  pool->each(chunks, [&](int32_t chunk, int32_t thread) {
    int64_t before = 0;
    for (int32_t m = 0; m < count; m++) {
      const pm_matrix &w = matrices[m];
      const int32_t own = (int32_t)((w.rows + step - 1) / step);
      if (chunk >= own) {
        chunk -= own;
        before += w.rows;
        continue;
      }
      const WeightType type = weight_type(w.type);
      MatmulJob job;
      job.type = w.type;
      job.data = (const uint8_t *)(uintptr_t)w.data;
      job.row_bytes = row_bytes(type, cols);
      job.cols = cols;
      job.first = chunk * step;
      job.last = job.first + step < w.rows ? job.first + step : w.rows;
      job.row_list = nullptr;
      job.xs = xs + (int)type.activations * (int64_t)tokens;
      job.outs = outs;
      job.out_offset = before;
      job.n = tokens;
      job.scratch = pool->own(thread).get(MATMUL_SCRATCH);
      if (job.scratch) isa().matmul->matmul(job);
      return;
    }
  });
}

void pm_embed(const pm_matrix *table, const int32_t *ids, int32_t tokens, float *out) {
  using namespace pm;
  const int64_t bytes = row_bytes(weight_type(table->type), table->cols);
  for (int32_t t = 0; t < tokens; t++)
    isa().matmul->dequantise_row(table->type, (const uint8_t *)(uintptr_t)table->data + ids[t] * bytes, table->cols,
                                 out + t * table->cols);
}
