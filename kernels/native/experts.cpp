/* Expert feed-forward networks, computed as their matrices arrive. */
#include "futex.h"
#include "matmul.h"
#include "simd_tables.h"

#include <string.h>

namespace pm {
namespace {

enum Stage { GATE, UP, DOWN, DONE };

/* Jobs with at most this many tokens look for rows that no token needs. */
constexpr int32_t SKIP_TOKENS = 8;

struct Job {
  const uint8_t *data[3];
  const int32_t *ready[3]; /* state words; null: resident */
  int64_t entry;        /* first of its (token, target) pairs */
  int32_t n;
  int32_t stage;
  int32_t active;     /* rows of `up` to compute */
  int32_t *rows;      /* their numbers, or null for all */
  bool picked, late;
  int32_t first_chunk; /* of the running stage */
  int64_t step;
};

/* Hands out parts of one piece of scratch. */
struct Carver {
  uint8_t *at;
  template <class T> T *take(int64_t n) {
    T *p = (T *)at;
    at += (n * (int64_t)sizeof(T) + 63) & ~(int64_t)63;
    return p;
  }
};

struct Run {
  pm_pool *pool;
  const pm_expert_shape *shape;
  Job *jobs;
  int32_t count;
  uint8_t **x[2];            /* [entry] input in the form of gate and of up */
  float **gate, **up, **out; /* [entry] */
  uint8_t **hidden;          /* [entry] input of down */
  pm_expert_stats stats;

  int32_t type(int32_t stage) const {
    return stage == GATE ? shape->gate_type : stage == UP ? shape->up_type : shape->down_type;
  }
  int64_t rows(const Job &job) const {
    return job.stage == DOWN ? shape->width : job.stage == UP && job.rows ? job.active : shape->hidden;
  }
  void compute();
  void after_gate(Job &job);
  void after_up(int64_t entry);
};

/* Finds the rows that `up` has to compute: those whose activation is not zero for some token. */
void Run::after_gate(Job &job) {
  const int64_t hidden = shape->hidden;
  stats.rows_total += hidden * job.n;
  job.active = (int32_t)hidden;
  int32_t *list = job.rows;
  if (shape->activation != PM_RELU) {
    stats.rows_active += hidden * job.n;
    job.rows = nullptr;
    return;
  }
  if (!shape->skip || job.n > SKIP_TOKENS) job.rows = nullptr;
  for (int32_t i = 0; i < job.n; i++) {
    const float *g = gate[job.entry + i];
    int32_t positive = 0;
    for (int64_t r = 0; r < hidden; r++) positive += g[r] > 0.0f;
    stats.rows_active += positive;
  }
  if (!job.rows) return;
  int32_t active = 0;
  if (job.n == 1) {
    const float *g = gate[job.entry];
    for (int32_t r = 0; r < hidden; r++) {
      list[active] = r;
      active += g[r] > 0.0f;
    }
  } else {
    for (int32_t r = 0; r < hidden; r++) {
      bool any = false;
      for (int32_t i = 0; i < job.n; i++) any |= gate[job.entry + i][r] > 0.0f;
      list[active] = r;
      active += any;
    }
  }
  job.active = active;
}

/* activation(gate) * up, in the form that `down` wants. Rows that were not computed are zero by their gate. */
void Run::after_up(int64_t entry) {
  const int64_t hidden_size = shape->hidden;
  float *g = gate[entry];
  const float *u = up[entry];
  if (shape->activation == PM_RELU) {
    for (int64_t r = 0; r < hidden_size; r++) g[r] = g[r] > 0.0f ? g[r] * u[r] : 0.0f;
  } else {
    isa().vector->gated(g, u, g, hidden_size, shape->activation);
  }
  const Activations form = weight_type(shape->down_type).activations;
  if (form != Activations::Float) activation_row(form, g, hidden_size, hidden[entry]);
}

/* Runs the present stage of all picked jobs and moves them on. */
void Run::compute() {
  int64_t work = 0;
  for (int32_t j = 0; j < count; j++)
    if (jobs[j].picked) work += rows(jobs[j]) * jobs[j].n;
  const int32_t threads = pool->threads(), panel = isa().matmul->panel;
  int32_t chunks = 0;
  for (int32_t j = 0; j < count; j++) {
    Job &job = jobs[j];
    if (!job.picked) continue;
    const int64_t cols = job.stage == DOWN ? shape->hidden : shape->width;
    const int64_t bytes = row_bytes(weight_type(type(job.stage)), cols);
    int64_t step = work / (threads * 8) / job.n + 1;
    const int64_t smallest = 32768 / (bytes * (job.n < 8 ? job.n : 8)) + 1;
    step = step > smallest ? step : smallest;
    if (threads == 1 && job.n == 1) step = shape->hidden + shape->width;
    step = (step + panel - 1) / panel * panel;
    if (job.n > 1) {
      const int64_t most = 131072 / bytes / panel * panel;
      step = step < most ? step : most > panel ? most : panel;
    }
    job.step = step;
    job.first_chunk = chunks;
    chunks += (int32_t)((rows(job) + step - 1) / step);
  }
  pool->each(chunks, [&](int32_t chunk, int32_t thread) {
    int32_t j = count - 1;
    while (!jobs[j].picked || jobs[j].first_chunk > chunk) j--;
    const Job &job = jobs[j];
    const int32_t stage = job.stage;
    MatmulJob m;
    m.type = type(stage);
    m.cols = stage == DOWN ? shape->hidden : shape->width;
    m.row_bytes = row_bytes(weight_type(m.type), m.cols);
    m.data = job.data[stage];
    m.first = (chunk - job.first_chunk) * job.step;
    const int64_t end = rows(job);
    m.last = m.first + job.step < end ? m.first + job.step : end;
    m.row_list = stage == UP ? job.rows : nullptr;
    m.xs = (stage == DOWN ? hidden : x[stage]) + job.entry;
    m.outs = (stage == GATE ? gate : stage == UP ? up : out) + job.entry;
    m.out_offset = 0;
    m.n = job.n;
    m.scratch = pool->own(thread).get(MATMUL_SCRATCH);
    if (m.scratch) isa().matmul->matmul(m);
  });
  int64_t entries = 0;
  for (int32_t j = 0; j < count; j++) {
    Job &job = jobs[j];
    if (!job.picked) continue;
    if (job.stage == GATE) after_gate(job);
    if (job.stage == UP) entries += job.n;
  }
  if (entries > 0) {
    /* One token's experts are too little work to wake anybody for. */
    const auto finish = [&](int32_t chunk, int32_t) {
      for (int32_t j = 0; j < count; j++) {
        if (!jobs[j].picked || jobs[j].stage != UP) continue;
        if (chunk < jobs[j].n) return after_up(jobs[j].entry + chunk);
        chunk -= jobs[j].n;
      }
    };
    if (entries < 16) for (int32_t i = 0; i < (int32_t)entries; i++) finish(i, 0);
    else pool->each((int32_t)entries, finish);
  }
  for (int32_t j = 0; j < count; j++)
    if (jobs[j].picked) jobs[j].stage++;
}

} // namespace
} // namespace pm

int32_t pm_experts_ffn(pm_pool *pool, const pm_expert_shape *shape, const pm_expert_job *list, int32_t count,
                       const int32_t *tokens, const int32_t *targets, const float *x, int64_t x_stride, float *y,
                       int64_t y_stride, pm_expert_stats *stats) {
  using namespace pm;
  int64_t entries = 0;
  int32_t inputs = 0;
  for (int32_t j = 0; j < count; j++) {
    entries += list[j].count;
    for (int32_t i = list[j].first; i < list[j].first + list[j].count; i++)
      inputs = tokens[i] >= inputs ? tokens[i] + 1 : inputs;
  }
  if (entries == 0) return 0;

  const Activations forms[2] = {weight_type(shape->gate_type).activations, weight_type(shape->up_type).activations};
  const Activations down_form = weight_type(shape->down_type).activations;
  const bool two_forms = forms[1] != forms[0];
  const int64_t input_bytes[2] = {activation_bytes(forms[0], shape->width), activation_bytes(forms[1], shape->width)};
  const int64_t hidden_bytes = activation_bytes(down_form, shape->hidden);
  const int64_t hidden_stride = (shape->hidden + 15) & ~(int64_t)15;

  uint8_t *converted = pool->shared(pm_pool::INPUT).get((size_t)((input_bytes[0] + input_bytes[1]) * inputs + 64));
  float *floats = (float *)pool->shared(pm_pool::HIDDEN).get((size_t)(2 * entries * hidden_stride * 4));
  uint8_t *quantised = pool->shared(pm_pool::HIDDEN_QUANTISED).get((size_t)(entries * hidden_bytes + 64));
  const int64_t table = 6 * (entries * 8 + 64) + inputs + 64 + count * (int64_t)sizeof(Job) + 64 +
                        count * (((int64_t)shape->hidden + 1) * 4 + 64) + count * 8 + 64;
  Carver carve{pool->shared(pm_pool::POINTERS).get((size_t)table)};
  if (!converted || !floats || !quantised || !carve.at) return 0;

  Run run;
  run.pool = pool;
  run.shape = shape;
  run.count = count;
  run.stats = {};
  run.jobs = carve.take<Job>(count);
  run.x[0] = carve.take<uint8_t *>(entries);
  run.x[1] = carve.take<uint8_t *>(entries);
  run.gate = carve.take<float *>(entries);
  run.up = carve.take<float *>(entries);
  run.out = carve.take<float *>(entries);
  run.hidden = carve.take<uint8_t *>(entries);
  const int32_t **words = carve.take<const int32_t *>(count);
  uint8_t *used = carve.take<uint8_t>(inputs);
  memset(used, 0, (size_t)inputs);

  const auto input = [&](int32_t form, int32_t token) -> uint8_t * {
    if (forms[form] == Activations::Float) return (uint8_t *)(x + token * x_stride);
    if (form == 1 && !two_forms) form = 0;
    return converted + (form == 0 ? 0 : input_bytes[0] * inputs) + input_bytes[form] * token;
  };
  int64_t entry = 0;
  for (int32_t j = 0; j < count; j++) {
    Job &job = run.jobs[j];
    const pm_expert_job &from = list[j];
    job.data[GATE] = (const uint8_t *)(uintptr_t)from.gate;
    job.data[UP] = (const uint8_t *)(uintptr_t)from.up;
    job.data[DOWN] = (const uint8_t *)(uintptr_t)from.down;
    job.ready[GATE] = (const int32_t *)(uintptr_t)from.gate_ready;
    job.ready[UP] = (const int32_t *)(uintptr_t)from.up_ready;
    job.ready[DOWN] = (const int32_t *)(uintptr_t)from.down_ready;
    job.entry = entry;
    job.n = from.count;
    job.stage = from.count > 0 ? GATE : DONE;
    job.rows = carve.take<int32_t>(shape->hidden + 1);
    job.active = 0;
    job.picked = job.late = false;
    for (int32_t i = from.first; i < from.first + from.count; i++, entry++) {
      used[tokens[i]] = 1;
      run.x[0][entry] = input(0, tokens[i]);
      run.x[1][entry] = input(1, tokens[i]);
      run.gate[entry] = floats + 2 * entry * hidden_stride;
      run.up[entry] = run.gate[entry] + hidden_stride;
      run.hidden[entry] =
          down_form == Activations::Float ? (uint8_t *)run.gate[entry] : quantised + entry * hidden_bytes;
      run.out[entry] = y + targets[i] * y_stride;
    }
  }
  const auto convert = [&](int32_t t, int32_t) {
    if (!used[t]) return;
    if (forms[0] != Activations::Float) activation_row(forms[0], x + t * x_stride, shape->width, input(0, t));
    if (two_forms && forms[1] != Activations::Float)
      activation_row(forms[1], x + t * x_stride, shape->width, input(1, t));
  };
  if (inputs < 4) for (int32_t t = 0; t < inputs; t++) convert(t, 0);
  else pool->each(inputs, convert);

  int32_t failed = 0;
  for (;;) {
    /* The earliest stage at which some job can go on; jobs at that stage are picked. */
    const auto look = [&]() -> int32_t {
      int32_t stage = DONE;
      for (int32_t j = 0; j < count; j++) {
        Job &job = run.jobs[j];
        job.picked = false;
        if (job.stage == DONE) continue;
        bool ready = true;
        for (int32_t s = job.stage; s < DONE; s++) {
          const int32_t word = job.ready[s] ? __atomic_load_n(job.ready[s], __ATOMIC_ACQUIRE) : 1;
          if (word < 0 && !failed) failed = 1 + j;
          if (word == 0 && s == job.stage) ready = false;
        }
        if (!ready) continue;
        job.picked = true;
        stage = job.stage < stage ? job.stage : stage;
      }
      for (int32_t j = 0; j < count; j++) run.jobs[j].picked &= run.jobs[j].stage == stage;
      return stage;
    };
    int32_t stage = look();
    if (failed) break;
    int32_t open = 0;
    for (int32_t j = 0; j < count; j++) open += run.jobs[j].stage != DONE;
    if (open == 0) break;
    if (stage == DONE) {
      const int64_t begin = now_ns();
      for (;;) {
        /* Most waits are short; sleeping costs more than looking. */
        const int64_t now = now_ns();
        if (now - begin > 20000) {
          int32_t n = 0;
          for (int32_t j = 0; j < count && n < 128; j++)
            if (run.jobs[j].stage != DONE) words[n++] = run.jobs[j].ready[run.jobs[j].stage];
          futex_wait_any(words, n, 2000000);
        }
        stage = look();
        if (failed || stage != DONE) break;
      }
      run.stats.stall_ns += now_ns() - begin;
      for (int32_t j = 0; j < count; j++)
        if (run.jobs[j].picked && !run.jobs[j].late) {
          run.jobs[j].late = true;
          run.stats.late++;
        }
      if (failed) break;
    }
    run.compute();
  }
  if (stats) {
    stats->stall_ns += run.stats.stall_ns;
    stats->late += run.stats.late;
    stats->rows_total += run.stats.rows_total;
    stats->rows_active += run.stats.rows_active;
  }
  return failed;
}
