/* Tests the kernels without Node, so that they can run under sanitizers and under an emulator of another CPU:
 *
 *   node scripts/build-native.mjs --selftest [--sanitize] [--target arm64]
 *
 * Every supported instruction set runs in a process of its own. Matrices end at a page that cannot be read, results
 * are compared with double precision, batches and threads bit by bit, and the results of integer-dot types must be
 * the same on every instruction set; their digest is printed so that machines can be compared.
 */
#include "../../include/pocketmoe_kernels.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

int failures = 0;
uint64_t digest = 14695981039346656037ull;

void fail(const std::string &what) {
  if (failures++ < 20) printf("  FAILED %s\n", what.c_str());
}

uint64_t state = 88172645463325252ull;
uint64_t random_bits() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}
float random_float() { return (float)((double)(random_bits() >> 11) / 9007199254740992.0 * 2 - 1); }
std::vector<float> random_floats(size_t n) {
  std::vector<float> v(n);
  for (float &f : v) f = random_float();
  return v;
}

/* Bytes between two pages that cannot be read: right after the first, or (aligned to 32) right before the second. */
class Guarded {
public:
  Guarded(size_t bytes, bool at_end) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    inner_ = (bytes + page - 1) / page * page;
    all_ = inner_ + 2 * page;
    base_ = (uint8_t *)mmap(nullptr, all_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(base_ + page, inner_, PROT_READ | PROT_WRITE);
    data = at_end ? base_ + page + inner_ - bytes : base_ + page;
  }
  ~Guarded() { munmap(base_, all_); }
  Guarded(const Guarded &) = delete;
  Guarded &operator=(const Guarded &) = delete;
  uint8_t *data;

private:
  uint8_t *base_;
  size_t inner_, all_;
};

struct Type {
  int32_t number;
  const char *name;
  int block, bytes;
  int halves[2]; /* where the block's half floats are, -1: none */
};
const Type TYPES[] = {{PM_F32, "F32", 1, 4, {-1, -1}},       {PM_F16, "F16", 1, 2, {0, -1}},
                      {PM_BF16, "BF16", 1, 2, {-1, -1}},     {PM_Q4_0, "Q4_0", 32, 18, {0, -1}},
                      {PM_Q4_1, "Q4_1", 32, 20, {0, 2}},     {PM_Q5_0, "Q5_0", 32, 22, {0, -1}},
                      {PM_Q5_1, "Q5_1", 32, 24, {0, 2}},     {PM_Q8_0, "Q8_0", 32, 34, {0, -1}},
                      {PM_Q2_K, "Q2_K", 256, 84, {80, 82}},  {PM_Q3_K, "Q3_K", 256, 110, {108, -1}},
                      {PM_Q4_K, "Q4_K", 256, 144, {0, 2}},   {PM_Q5_K, "Q5_K", 256, 176, {0, 2}},
                      {PM_Q6_K, "Q6_K", 256, 210, {208, -1}}, {PM_IQ4_NL, "IQ4_NL", 32, 18, {0, -1}},
                      {PM_MXFP4, "MXFP4", 32, 17, {-1, -1}}};

/* Random blocks whose scales are ordinary numbers. */
void fill_weights(const Type &t, uint8_t *w, size_t blocks) {
  for (size_t b = 0; b < blocks; b++) {
    uint8_t *p = w + b * t.bytes;
    for (int i = 0; i < t.bytes; i++) p[i] = (uint8_t)(random_bits() >> 24);
    for (const int at : t.halves) {
      if (at < 0) continue;
      const uint16_t h = (uint16_t)(0x1c00 + random_bits() % 0x1000); /* 2^-8 to 2^-4 */
      memcpy(p + at, &h, 2);
    }
    if (t.number == PM_F32) {
      const float f = random_float();
      memcpy(p, &f, 4);
    }
    if (t.number == PM_BF16) {
      const float f = random_float();
      memcpy(p, (const uint8_t *)&f + 2, 2);
    }
    if (t.number == PM_MXFP4) p[0] = (uint8_t)(120 + random_bits() % 8);
  }
}

bool same_bits(const float *a, const float *b, size_t n) { return memcmp(a, b, n * 4) == 0; }

void add_digest(const float *v, size_t n) {
  for (size_t i = 0; i < n * 4; i++) digest = (digest ^ ((const uint8_t *)v)[i]) * 1099511628211ull;
}

/* Root mean square difference relative to the expected values. */
double relative_error(const std::vector<float> &got, const std::vector<double> &expected) {
  double difference = 0, size = 1e-30;
  for (size_t i = 0; i < got.size(); i++) {
    difference += (got[i] - expected[i]) * (got[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

void test_matrices() {
  for (const Type &t : TYPES) {
    for (const int rows : {1, 5, 17, 48}) {
      for (const int units : {1, 3, 9}) {
        const int cols = t.block == 1 ? units * 37 : t.block * units, tokens = 7;
        const size_t row_bytes = (size_t)cols / t.block * t.bytes, bytes = row_bytes * (size_t)rows;
        const bool at_end = units != 3;
        Guarded w(bytes, at_end);
        fill_weights(t, w.data, bytes / t.bytes);
        Guarded guarded_x((size_t)tokens * cols * 4, true);
        float *x = (float *)guarded_x.data;
        for (int i = 0; i < tokens * cols; i++) x[i] = random_float();
        const pm_matrix m = {(uint64_t)(uintptr_t)w.data, rows, cols, t.number, PM_ROWS};
        std::vector<float> whole((size_t)tokens * rows), single(whole.size());
        const std::string name = std::string(t.name) + " " + std::to_string(rows) + "x" + std::to_string(cols);
        for (const int threads : {1, 3}) {
          pm_pool *pool = pm_pool_create(threads);
          pm_linear(pool, &m, 1, x, cols, threads == 1 ? whole.data() : single.data(), rows, tokens);
          if (threads > 1 && !same_bits(whole.data(), single.data(), whole.size())) fail(name + " threads");
          for (int i = 0; i < tokens; i++)
            pm_linear(pool, &m, 1, x + i * cols, cols, single.data() + (size_t)i * rows, rows, 1);
          if (!same_bits(whole.data(), single.data(), whole.size())) fail(name + " batch");
          pm_pool_destroy(pool);
        }
        std::vector<float> dense((size_t)rows * cols);
        std::vector<int32_t> ids((size_t)rows);
        for (int r = 0; r < rows; r++) ids[(size_t)r] = r;
        pm_embed(&m, ids.data(), rows, dense.data());
        std::vector<double> expected(whole.size());
        for (int i = 0; i < tokens; i++)
          for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++)
              expected[(size_t)i * rows + r] += (double)dense[(size_t)r * cols + c] * x[i * cols + c];
        const double error = relative_error(whole, expected);
        if (!(error < (t.block == 1 ? 1e-5 : 3e-2))) fail(name + " error " + std::to_string(error));
        if (t.block > 1) add_digest(whole.data(), whole.size());
      }
    }
  }
}

float half_value(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, 2);
  const int exponent = h >> 10 & 31;
  const double m = exponent ? std::ldexp(1024 + (h & 1023), exponent - 25) : std::ldexp(h & 1023, -24);
  return (float)(h & 0x8000 ? -m : m);
}

void test_attention() {
  for (const int32_t type : {PM_F32, PM_F16, PM_Q8_0}) {
    for (const int window : {0, 33}) {
      const int positions = 1100, heads = 6, kv_heads = 2, size = type == PM_F16 ? 40 : 64, tokens = 5;
      const int width = heads * size, kv_width = kv_heads * size, pos0 = positions - tokens;
      const auto k = random_floats((size_t)positions * kv_width), v = random_floats(k.size());
      const auto q = random_floats((size_t)tokens * width);
      const size_t row = type == PM_F32 ? (size_t)kv_width * 4 : type == PM_F16 ? (size_t)kv_width * 2 : (size_t)kv_width / 32 * 34;
      Guarded ck(row * positions, true), cv(row * positions, true);
      pm_kv_store(k.data(), v.data(), kv_width, ck.data, cv.data, type, positions, 0, kv_heads, size);
      const auto element = [&](const uint8_t *cache, int at, int c) -> double {
        const uint8_t *p = cache + row * (size_t)at;
        if (type == PM_F16) return half_value(p + 2 * c);
        if (type == PM_Q8_0) return (double)half_value(p + c / 32 * 34) * (int8_t)p[c / 32 * 34 + 2 + c % 32];
        float f;
        memcpy(&f, p + 4 * c, 4);
        return f;
      };
      std::vector<float> out((size_t)tokens * width), other(out.size());
      for (const int threads : {1, 4}) {
        pm_pool *pool = pm_pool_create(threads);
        pm_attention(pool, q.data(), width, ck.data, cv.data, type, threads == 1 ? out.data() : other.data(), width,
                     tokens, pos0, heads, kv_heads, size, window, 0.25f);
        if (threads > 1 && !same_bits(out.data(), other.data(), out.size())) fail("attention threads");
        for (int t = 0; t < tokens; t++)
          pm_attention(pool, q.data() + t * width, width, ck.data, cv.data, type, other.data() + t * width, width, 1,
                       pos0 + t, heads, kv_heads, size, window, 0.25f);
        if (!same_bits(out.data(), other.data(), out.size())) fail("attention batch");
        pm_pool_destroy(pool);
      }
      std::vector<double> expected(out.size());
      for (int t = 0; t < tokens; t++)
        for (int h = 0; h < heads; h++) {
          const int head = h / (heads / kv_heads) * size, last = pos0 + t;
          const int first = window > 0 && last - window + 1 > 0 ? last - window + 1 : 0;
          std::vector<double> p;
          double sum = 0;
          for (int j = first; j <= last; j++) {
            double dot = 0;
            for (int c = 0; c < size; c++) dot += (double)q[(size_t)t * width + h * size + c] * element(ck.data, j, head + c);
            p.push_back(std::exp(dot * 0.25));
            sum += p.back();
          }
          for (int j = first; j <= last; j++)
            for (int c = 0; c < size; c++)
              expected[(size_t)t * width + h * size + c] += p[(size_t)(j - first)] / sum * element(cv.data, j, head + c);
        }
      const double error = relative_error(out, expected);
      if (!(error < 1e-5)) fail("attention error " + std::to_string(error));
    }
  }
}

void test_rows() {
  const int cols = 83, tokens = 9;
  const auto x = random_floats((size_t)tokens * 2 * cols), weight = random_floats(cols);
  pm_pool *pool = pm_pool_create(2);
  std::vector<float> out((size_t)tokens * cols);
  std::vector<double> expected(out.size());
  pm_rms_norm(pool, x.data(), 2 * cols, weight.data(), out.data(), cols, tokens, 1, cols, 1e-6f);
  for (int t = 0; t < tokens; t++) {
    double sum = 0;
    for (int c = 0; c < cols; c++) sum += (double)x[(size_t)t * 2 * cols + c] * x[(size_t)t * 2 * cols + c];
    for (int c = 0; c < cols; c++)
      expected[(size_t)t * cols + c] = x[(size_t)t * 2 * cols + c] / std::sqrt(sum / cols + 1e-6) * weight[(size_t)c];
  }
  if (!(relative_error(out, expected) < 1e-6)) fail("norm");
  for (const int activation : {PM_RELU, PM_SILU}) {
    auto wide = x;
    for (float &f : wide) f *= 30;
    pm_gated(pool, wide.data(), 2 * cols, out.data(), cols, tokens, cols, activation);
    for (int t = 0; t < tokens; t++)
      for (int c = 0; c < cols; c++) {
        const double g = wide[(size_t)t * 2 * cols + c], u = wide[(size_t)t * 2 * cols + cols + c];
        expected[(size_t)t * cols + c] = (activation == PM_RELU ? (g > 0 ? g : 0) : g / (1 + std::exp(-g))) * u;
      }
    if (!(relative_error(out, expected) < 1e-6)) fail("gated");
  }
  for (const int pairing : {PM_ROPE_ADJACENT, PM_ROPE_HALVES}) {
    auto turned = random_floats((size_t)tokens * 80);
    const auto before = turned;
    pm_rope(pool, turned.data(), 80, tokens, 2, 40, 32, 5, 1e4f, 1, pairing, nullptr);
    std::vector<double> wanted(before.begin(), before.end());
    for (int t = 0; t < tokens; t++)
      for (int h = 0; h < 2; h++)
        for (int i = 0; i < 16; i++) {
          const double angle = (5 + t) * std::pow(1e4, -2.0 * i / 32);
          const size_t at = (size_t)t * 80 + h * 40, a = at + (pairing ? i : 2 * i), b = at + (pairing ? i + 16 : 2 * i + 1);
          wanted[a] = before[a] * std::cos(angle) - before[b] * std::sin(angle);
          wanted[b] = before[a] * std::sin(angle) + before[b] * std::cos(angle);
        }
    if (!(relative_error(turned, wanted) < 1e-5)) fail("rope");
  }
  pm_pool_destroy(pool);
}

/* Experts whose matrices land one by one while the kernel runs give the bits of resident ones. */
void test_experts() {
  const int width = 96, hidden = 160, experts = 5, tokens = 3;
  const Type &t = TYPES[3];
  const size_t bytes = (size_t)width * hidden / 32 * 18;
  std::vector<uint8_t> weights(bytes * 3 * experts);
  fill_weights(t, weights.data(), weights.size() / 18);
  const auto x = random_floats((size_t)tokens * width);
  pm_expert_shape shape = {};
  shape.width = width;
  shape.hidden = hidden;
  shape.gate_type = shape.up_type = shape.down_type = PM_Q4_0;
  shape.activation = PM_RELU;
  std::vector<int32_t> list, targets;
  std::vector<pm_expert_job> jobs(experts);
  std::vector<int32_t> words((size_t)experts * 3);
  for (int e = 0; e < experts; e++) {
    const uint64_t at = (uint64_t)(uintptr_t)(weights.data() + bytes * 3 * (size_t)e);
    jobs[(size_t)e] = {at, at + bytes, at + 2 * bytes, 0, 0, 0, (int32_t)list.size(), 1 + e % tokens};
    for (int i = 0; i < 1 + e % tokens; i++) {
      list.push_back(i);
      targets.push_back(i * experts + e);
    }
  }
  std::vector<float> resident((size_t)tokens * experts * width), streamed(resident.size());
  for (const int skip : {0, 1}) {
    shape.skip = skip;
    for (const int threads : {1, 2}) {
      pm_pool *pool = pm_pool_create(threads);
      pm_expert_stats stats = {};
      auto &y = skip == 0 && threads == 1 ? resident : streamed;
      for (auto &j : jobs) j.gate_ready = j.up_ready = j.down_ready = 0;
      if (pm_experts_ffn(pool, &shape, jobs.data(), experts, list.data(), targets.data(), x.data(), width, y.data(), width, &stats))
        fail("experts");
      if (&y == &streamed && !same_bits(resident.data(), streamed.data(), resident.size())) fail("experts: skip or threads");
      for (int round = 0; round < 4; round++) {
        std::fill(words.begin(), words.end(), 0);
        for (int e = 0; e < experts; e++) {
          jobs[(size_t)e].gate_ready = (uint64_t)(uintptr_t)&words[(size_t)e * 3];
          jobs[(size_t)e].up_ready = (uint64_t)(uintptr_t)&words[(size_t)e * 3 + 1];
          jobs[(size_t)e].down_ready = (uint64_t)(uintptr_t)&words[(size_t)e * 3 + 2];
        }
        std::vector<int> order;
        for (int i = 0; i < experts * 3; i++) order.insert(order.begin() + (long)(random_bits() % (order.size() + 1)), i);
        std::thread lane([&] {
          for (const int i : order) {
            std::this_thread::sleep_for(std::chrono::microseconds(round * 60));
            __atomic_store_n(&words[(size_t)i], 1, __ATOMIC_RELEASE);
          }
        });
        std::fill(streamed.begin(), streamed.end(), 0.0f);
        if (pm_experts_ffn(pool, &shape, jobs.data(), experts, list.data(), targets.data(), x.data(), width, streamed.data(), width, &stats))
          fail("experts landing");
        lane.join();
        if (!same_bits(resident.data(), streamed.data(), resident.size())) fail("experts: order of arrival");
      }
      words[4] = -5;
      if (pm_experts_ffn(pool, &shape, jobs.data(), experts, list.data(), targets.data(), x.data(), width, streamed.data(), width, &stats) != 2)
        fail("experts: failed read");
      pm_pool_destroy(pool);
    }
  }
  add_digest(resident.data(), resident.size());
}

int run_all() {
  test_matrices();
  test_attention();
  test_rows();
  test_experts();
  printf("%-13s digest %016llx  %s\n", pm_isa(), (unsigned long long)digest, failures ? "FAILED" : "ok");
  return failures ? 1 : 0;
}

} // namespace

int main(int argc, char **argv) {
  if (argc > 1) {
    setenv("POCKETMOE_ISA", argv[1], 1);
    if (strcmp(pm_isa(), argv[1]) != 0) return 77; /* not on this CPU */
    return run_all();
  }
  std::string first;
  bool ok = true;
  int ran = 0;
  for (const char *isa : {"portable", "avx2", "avx512", "neon", "neon-dotprod"}) {
    int ends[2];
    if (pipe(ends) != 0) return 1;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      dup2(ends[1], 1);
      setenv("POCKETMOE_ISA", isa, 1);
      const int code = strcmp(pm_isa(), isa) == 0 ? run_all() : 77;
      fflush(stdout);
      _exit(code);
    }
    close(ends[1]);
    std::string said;
    char part[512];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) said.append(part, (size_t)n);
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) continue;
    ran++;
    printf("%s", said.c_str());
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      printf("%s ended badly (status %d)\n", isa, status);
      ok = false;
      continue;
    }
    const size_t at = said.find("digest ");
    const std::string mine = at == std::string::npos ? "" : said.substr(at + 7, 16);
    if (first.empty()) first = mine;
    if (mine != first) {
      printf("%s does not give the bits of the others\n", isa);
      ok = false;
    }
  }
  return ok && ran > 0 ? 0 : 1;
}
