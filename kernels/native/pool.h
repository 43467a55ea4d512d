/* A persistent pool of threads that share numbered chunks of work. */
#pragma once
#include "exports.h"

#include <atomic>
#include <stddef.h>
#include <stdint.h>
#include <thread>
#include <type_traits>
#include <vector>

namespace pm {

/* Memory that only grows; its content is lost when it does. */
class Scratch {
public:
  ~Scratch();
  /* At least `bytes`, 64-byte aligned; null when there is no memory. */
  uint8_t *get(size_t bytes);
  int64_t size() const { return size_.load(std::memory_order_relaxed); }

private:
  uint8_t *data_ = nullptr;
  std::atomic<int64_t> size_{0};
};

/* Cosines and sines of the last rotary embedding: all layers of a token ask for the same ones. */
struct RopeTable {
  int32_t tokens = 0, dims = 0, pos0 = 0;
  float freq_base = 0, freq_scale = 0;
  std::vector<float> factors;
  std::vector<float> values; /* [tokens][dims/2][cos, sin] */
};

using Work = void (*)(void *context, int32_t chunk, int32_t thread);

} // namespace pm

/* One caller at a time. Chunks are handed out one by one, so a thread whose core is busy with something else
 * holds up no more than the chunk it has; a thread that wakes up late finds nothing left and costs nothing. */
struct pm_pool {
  explicit pm_pool(int32_t threads);
  ~pm_pool();
  pm_pool(const pm_pool &) = delete;
  pm_pool &operator=(const pm_pool &) = delete;

  int32_t threads() const { return threads_; }

  /* Runs work(context, chunk, thread) for every chunk in [0, chunks) and returns when all are done. */
  void run(int32_t chunks, pm::Work work, void *context);
  template <class F> void each(int32_t chunks, F &&f) {
    using Plain = std::remove_reference_t<F>;
    run(chunks, [](void *context, int32_t chunk, int32_t thread) { (*(Plain *)context)(chunk, thread); }, (void *)&f);
  }

  /* A thread's own scratch, and scratch shared by all (one per purpose). */
  pm::Scratch &own(int32_t thread) { return own_[(size_t)thread]; }
  enum Purpose { INPUT, HIDDEN, HIDDEN_QUANTISED, POINTERS, STATE, PURPOSES };
  pm::Scratch &shared(Purpose purpose) { return shared_[purpose]; }
  int64_t scratch_bytes() const;

  pm::RopeTable rope;

private:
  void worker(int32_t thread);
  bool take(uint64_t ticket, int32_t thread);

  int32_t threads_;
  std::vector<std::thread> workers_;
  std::vector<pm::Scratch> own_;
  pm::Scratch shared_[PURPOSES];
  pm::Work work_ = nullptr;
  void *context_ = nullptr;
  /* epoch (24 bits) | chunks (20) | next chunk (20): whoever adds 1 learns in one step which chunk of which
   * call it has, and that call cannot end before the chunk is done. */
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int32_t> done_{0};
  std::atomic<int32_t> caller_sleeps_{0};
  alignas(64) std::atomic<int32_t> epoch_{0}; /* what parked workers sleep on */
  std::atomic<int32_t> parked_{0};
  std::atomic<bool> stop_{false};
};
