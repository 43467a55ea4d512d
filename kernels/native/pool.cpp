#include "pool.h"

#include "futex.h"

#include <new>
#include <signal.h>
#include <stdlib.h>

namespace pm {

Scratch::~Scratch() { free(data_); }

uint8_t *Scratch::get(size_t bytes) {
  if (bytes > (size_t)size_.load(std::memory_order_relaxed)) {
    void *grown = nullptr;
    const size_t size = (bytes + bytes / 4 + 4095) & ~(size_t)4095;
    if (posix_memalign(&grown, 4096, size) != 0) return nullptr;
    free(data_);
    data_ = (uint8_t *)grown;
    size_.store((int64_t)size, std::memory_order_relaxed);
  }
  return data_;
}

} // namespace pm

namespace {

constexpr int64_t SPIN_NS = 50000;
constexpr uint64_t FIELD = (1u << 20) - 1;

uint64_t ticket_next(uint64_t t) { return t & FIELD; }
uint64_t ticket_chunks(uint64_t t) { return t >> 20 & FIELD; }

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/* Spins until ready() or the time is over; says whether it became ready. */
template <class Ready> bool spin(Ready ready) {
  const int64_t end = pm::now_ns() + SPIN_NS;
  do {
    for (int i = 0; i < 32; i++) {
      if (ready()) return true;
      relax();
    }
  } while (pm::now_ns() < end);
  return ready();
}

} // namespace

pm_pool::pm_pool(int32_t threads) : threads_(threads), own_((size_t)threads) {
  /* Signals belong to the application's threads. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (int32_t i = 1; i < threads; i++) workers_.emplace_back([this, i] { worker(i); });
  } catch (...) {
    threads_ = 1 + (int32_t)workers_.size();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

pm_pool::~pm_pool() {
  stop_.store(true);
  epoch_.fetch_add(1);
  pm::futex_wake((const int32_t *)&epoch_, 1 << 30);
  for (auto &w : workers_) w.join();
}

int64_t pm_pool::scratch_bytes() const {
  int64_t sum = (int64_t)((rope.values.capacity() + rope.factors.capacity()) * sizeof(float));
  for (const auto &s : own_) sum += s.size();
  for (const auto &s : shared_) sum += s.size();
  return sum;
}

/* Takes one chunk if `ticket` says there is one left; false when there is nothing to take. */
bool pm_pool::take(uint64_t ticket, int32_t thread) {
  if (ticket_next(ticket) >= ticket_chunks(ticket)) return false;
  const uint64_t mine = ticket_.fetch_add(1, std::memory_order_acq_rel);
  if (ticket_next(mine) >= ticket_chunks(mine)) return false;
  work_(context_, (int32_t)ticket_next(mine), thread);
  /* After the last fetch_add the caller may begin another call: only the words below are touched. */
  if (done_.fetch_add(1) + 1 == (int32_t)ticket_chunks(mine) && caller_sleeps_.load())
    pm::futex_wake((const int32_t *)&done_, 1);
  return true;
}

void pm_pool::run(int32_t chunks, pm::Work work, void *context) {
  if (chunks <= 0) return;
  if (threads_ == 1 || chunks == 1) {
    for (int32_t i = 0; i < chunks; i++) work(context, i, 0);
    return;
  }
  while (chunks > (int32_t)FIELD - 1024) { /* never in practice; keeps the fields honest */
    for (int32_t i = 0; i < 1024; i++) work(context, --chunks, 0);
  }
  work_ = work;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t epoch = (uint32_t)(epoch_.load(std::memory_order_relaxed) + 1) & 0xffffffu;
  ticket_.store(epoch << 40 | (uint64_t)chunks << 20);
  epoch_.fetch_add(1);
  const int32_t parked = parked_.load();
  if (parked > 0) pm::futex_wake((const int32_t *)&epoch_, parked < chunks - 1 ? parked : chunks - 1);

  while (take(ticket_.load(std::memory_order_acquire), 0)) {
  }
  const auto finished = [&] { return done_.load(std::memory_order_acquire) == chunks; };
  if (finished() || spin(finished)) return;
  /* A worker lost its core in the middle of a chunk: give it ours. */
  caller_sleeps_.store(1);
  for (int32_t seen; (seen = done_.load()) != chunks;) pm::futex_wait((const int32_t *)&done_, seen, 1000000);
  caller_sleeps_.store(0);
}

void pm_pool::worker(int32_t thread) {
  for (;;) {
    const int32_t epoch = epoch_.load();
    while (take(ticket_.load(std::memory_order_acquire), thread)) {
    }
    if (stop_.load()) return;
    const auto news = [&] { return epoch_.load(std::memory_order_acquire) != epoch; };
    if (spin(news)) continue;
    parked_.fetch_add(1);
    if (!news()) pm::futex_wait((const int32_t *)&epoch_, epoch, -1);
    parked_.fetch_sub(1);
  }
}

pm_pool *pm_pool_create(int32_t threads) {
  if (threads < 1 || threads > 1024) return nullptr;
  try {
    return new pm_pool(threads);
  } catch (...) {
    return nullptr;
  }
}

void pm_pool_destroy(pm_pool *pool) { delete pool; }

int64_t pm_pool_scratch(const pm_pool *pool) { return pool->scratch_bytes(); }
