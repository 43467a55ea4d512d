/* Calls the kernel of a vector. Numbers and inputs are taken in the order in which the TypeScript writes them. */
#pragma once
#include "expert_landings.h"

class KernelCall {
public:
  /* Runs it into `out`, which holds what stood before. Empty, or what is wrong beside the result. */
  static std::string run(const Vector &v, pm_pool *pool, Span &out) {
    KernelCall call(v, pool, out);
    if (v.kernel == "linear") call.linear();
    else if (v.kernel == "embed") call.embed();
    else if (v.kernel == "rms_norm") call.rms_norm();
    else if (v.kernel == "rope") call.rope();
    else if (v.kernel == "kv_store") call.kv_store();
    else if (v.kernel == "attention") call.attention();
    else if (v.kernel == "route") call.route();
    else if (v.kernel == "experts") return call.experts();
    else if (v.kernel == "combine") call.combine();
    else if (v.kernel == "gated") call.gated();
    else if (v.kernel == "add_scaled") call.add_scaled();
    else if (v.kernel == "scale") call.scale();
    else if (v.kernel == "argmax") call.argmax();
    else return "no such kernel: " + v.kernel;
    return call.number_ == v.numbers.size() ? "" : "numbers are left over";
  }

private:
  KernelCall(const Vector &v, pm_pool *pool, Span &out) : v_(v), pool_(pool), out_(out) {}

  double number() { return v_.numbers.at(number_++); }
  int32_t i() { return (int32_t)number(); }
  int64_t l() { return (int64_t)number(); }
  float f() { return (float)number(); }
  Span numbers(size_t input) const { return Span(v_.inputs.at(input), Span::NUMBERS); }
  Span weights(size_t input) const { return Span(v_.inputs.at(input), Span::WEIGHTS); }

  void linear() {
    const int64_t cols = l();
    const int32_t tokens = i();
    const int64_t x_stride = l(), out_stride = l();
    const Span x = numbers(0);
    std::vector<Span> places;
    std::vector<pm_matrix> matrices;
    for (size_t m = 1; m < v_.inputs.size(); m++) {
      places.push_back(weights(m));
      const int32_t type = i();
      const int64_t rows = l();
      matrices.push_back({places.back().address(), rows, cols, type, PM_ROWS});
    }
    pm_linear(pool_, matrices.data(), (int32_t)matrices.size(), x.floats(), x_stride, out_.floats(), out_stride,
              tokens);
  }

  void embed() {
    const int32_t type = i();
    const int64_t rows = l(), cols = l();
    const Span table = weights(0), ids = numbers(1);
    const pm_matrix matrix = {table.address(), rows, cols, type, PM_ROWS};
    pm_embed(&matrix, ids.ints(), (int32_t)(ids.size() / 4), out_.floats());
  }

  void rms_norm() {
    const int64_t x_stride = l(), out_stride = l();
    const int32_t tokens = i(), groups = i(), cols = i();
    const float eps = f();
    const Span x = numbers(0), weight = numbers(1);
    pm_rms_norm(pool_, x.floats(), x_stride, weight.floats(), out_.floats(), out_stride, tokens, groups, cols, eps);
  }

  void rope() {
    const int64_t stride = l();
    const int32_t tokens = i(), heads = i(), head_size = i(), dims = i(), pos0 = i();
    const float base = f(), scale = f();
    const int32_t pairing = i();
    const Span factors = numbers(0);
    pm_rope(pool_, out_.floats(), stride, tokens, heads, head_size, dims, pos0, base, scale, pairing,
            factors.size() ? factors.floats() : nullptr);
  }

  void kv_store() {
    const int64_t stride = l();
    const int32_t type = i(), tokens = i(), pos0 = i(), kv_heads = i(), head_size = i();
    const size_t size = (size_t)l();
    const Span k = numbers(0), v = numbers(1);
    const Bytes both = out_.copy();
    const Span cache_k(Bytes(both.begin(), both.begin() + (int64_t)size), Span::WEIGHTS);
    const Span cache_v(Bytes(both.begin() + (int64_t)size, both.end()), Span::WEIGHTS);
    pm_kv_store(k.floats(), v.floats(), stride, cache_k.data(), cache_v.data(), type, tokens, pos0, kv_heads,
                head_size);
    memcpy(out_.data(), cache_k.data(), size);
    memcpy(out_.data() + size, cache_v.data(), size);
  }

  void attention() {
    const int64_t q_stride = l();
    const int32_t type = i();
    const int64_t out_stride = l();
    const int32_t tokens = i(), pos0 = i(), heads = i(), kv_heads = i(), head_size = i(), window = i();
    const float scale = f();
    const Span q = numbers(0), cache_k = weights(1), cache_v = weights(2);
    pm_attention(pool_, q.floats(), q_stride, cache_k.data(), cache_v.data(), type, out_.floats(), out_stride, tokens,
                 pos0, heads, kv_heads, head_size, window, scale);
  }

  void route() {
    const int32_t tokens = i(), experts = i(), k = i(), gating = i(), groups = i(), used = i(), norm = i();
    const float scale = f();
    const Span logits = numbers(0), bias = numbers(1);
    const size_t n = (size_t)tokens * (size_t)k;
    const Span ids(Bytes(n * 4), Span::NUMBERS);
    pm_route(logits.floats(), tokens, experts, k, gating, bias.size() ? bias.floats() : nullptr, groups, used, norm,
             scale, ids.ints(), out_.floats() + n);
    for (size_t j = 0; j < n; j++) out_.floats()[j] = (float)ids.ints()[j];
  }

  /* Resident, then as they land in several ways: the same bits, and the same counts. */
  std::string experts() {
    pm_expert_shape shape = {};
    shape.width = l();
    shape.hidden = l();
    shape.gate_type = i();
    shape.up_type = i();
    shape.down_type = i();
    shape.activation = i();
    shape.skip = i();
    const int64_t x_stride = l(), y_stride = l();
    const int64_t rows_total = l(), rows_active = l();
    const Span tokens = numbers(0), targets = numbers(1), x = numbers(2);
    const std::vector<Bytes> matrices(v_.inputs.begin() + 3, v_.inputs.end());
    std::vector<Span> places;
    std::vector<pm_expert_job> jobs;
    for (int32_t first = 0; number_ < v_.numbers.size();) {
      for (int m = 0; m < 3; m++) places.emplace_back(matrices.at(places.size()), Span::WEIGHTS);
      const Span *p = &places[places.size() - 3];
      const int32_t count = i();
      jobs.push_back({p[0].address(), p[1].address(), p[2].address(), 0, 0, 0, first, count});
      first += count;
    }
    pm_expert_stats stats;
    const auto call = [&](const std::vector<pm_expert_job> &given, Span &y) {
      stats = {};
      return pm_experts_ffn(pool_, &shape, given.data(), (int32_t)given.size(), tokens.ints(), targets.ints(),
                            x.floats(), x_stride, y.floats(), y_stride, &stats);
    };
    if (call(jobs, out_) != 0) return "resident experts failed";
    if (stats.late != 0) return "resident experts were late";
    if (stats.rows_total != rows_total) return "another count of rows";
    const int64_t active = stats.rows_active;
    /* Far below zero SiLU vanishes in float32, not quite everywhere at the same place. */
    if (shape.activation == PM_RELU && active != rows_active) return "another count of active rows";
    const auto wrong = [&](Span &y) -> std::string {
      if (stats.rows_total != rows_total || stats.rows_active != active) return "other counts of rows";
      return memcmp(y.data(), out_.data(), y.size()) == 0 ? "" : "other bits than resident experts";
    };
    for (const auto words : {ExpertLandings::ONE, ExpertLandings::THREE}) {
      ExpertLandings ready(jobs, matrices, words);
      ready.land_all();
      Span y(v_.before, Span::NUMBERS);
      if (call(ready.jobs, y) != 0) return "experts that are ready failed";
      if (const std::string what = wrong(y); !what.empty()) return "experts that are ready: " + what;

      ExpertLandings late(jobs, matrices, words);
      Span z(v_.before, Span::NUMBERS);
      std::thread landing = late.start();
      const int32_t failed = call(late.jobs, z);
      landing.join();
      if (failed != 0) return "experts that land late failed";
      if (const std::string what = wrong(z); !what.empty()) return "experts that land late: " + what;

      ExpertLandings broken(jobs, matrices, words);
      std::thread breaking = broken.start((int)(jobs.size() / 2 * 3));
      const int32_t named = call(broken.jobs, z);
      breaking.join();
      if (named != 1 + (int32_t)(jobs.size() / 2)) return "a read that failed: another job is named";
    }
    return "";
  }

  void combine() {
    const int64_t y_stride = l();
    const int32_t tokens = i(), k = i(), width = i();
    const float scale = f();
    const int64_t x_stride = l();
    const Span y = numbers(0), weights = numbers(1);
    pm_combine(pool_, y.floats(), y_stride, weights.floats(), tokens, k, width, scale, out_.floats(), x_stride);
  }

  void gated() {
    const int64_t stride = l(), out_stride = l();
    const int32_t tokens = i(), hidden = i(), activation = i();
    const Span gate_up = numbers(0);
    pm_gated(pool_, gate_up.floats(), stride, out_.floats(), out_stride, tokens, hidden, activation);
  }

  void add_scaled() {
    const float scale = f();
    const Span x = numbers(0);
    pm_add_scaled(x.floats(), scale, out_.floats(), l());
  }

  void scale() {
    const float scale = f();
    pm_scale(out_.floats(), scale, l());
  }

  void argmax() {
    const Span x = numbers(0);
    out_.floats()[0] = (float)pm_argmax(x.floats(), i());
  }

  const Vector &v_;
  pm_pool *pool_;
  Span &out_;
  size_t number_ = 0;
};
