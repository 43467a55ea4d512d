#include "futex.h"

#include "exports.h"

#include <atomic>
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace pm {

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static timespec time_of(int64_t ns) {
  timespec t;
  t.tv_sec = (time_t)(ns / 1000000000);
  t.tv_nsec = (long)(ns % 1000000000);
  return t;
}

void futex_wait(const int32_t *word, int32_t expected, int64_t timeout_ns) {
  const timespec t = time_of(timeout_ns < 0 ? 0 : timeout_ns);
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? nullptr : &t, nullptr, 0);
}

void futex_wake(const int32_t *word, int32_t count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

/* futex_waitv came with Linux 5.16; its number and struct are the same everywhere, but headers may be older. */
struct WaitWord {
  uint64_t expected, address;
  uint32_t flags, reserved;
};
constexpr long SYS_FUTEX_WAITV = 449;
constexpr uint32_t WAIT_SIZE_32 = 2, WAIT_PRIVATE = 128;

void futex_wait_any(const int32_t *const *words, int32_t count, int64_t timeout_ns) {
  static std::atomic<bool> have_waitv{true};
  if (count > 128) count = 128;
  if (count > 1 && have_waitv.load(std::memory_order_relaxed)) {
    WaitWord list[128];
    for (int32_t i = 0; i < count; i++) list[i] = {0, (uint64_t)(uintptr_t)words[i], WAIT_SIZE_32 | WAIT_PRIVATE, 0};
    const timespec until = time_of(now_ns() + timeout_ns);
    if (syscall(SYS_FUTEX_WAITV, list, count, 0, &until, CLOCK_MONOTONIC) >= 0 || errno != ENOSYS) return;
    have_waitv.store(false, std::memory_order_relaxed);
  }
  /* Older kernels watch one word, briefly. */
  futex_wait(words[0], 0, count > 1 && timeout_ns > 100000 ? 100000 : timeout_ns);
}

} // namespace pm

int32_t pm_wait(const int32_t *word, int32_t timeout_ms) {
  const int64_t end = timeout_ms < 0 ? -1 : pm::now_ns() + (int64_t)timeout_ms * 1000000;
  for (;;) {
    const int32_t value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (value != 0) return value;
    int64_t left = -1;
    if (end >= 0) {
      left = end - pm::now_ns();
      if (left <= 0) return 0;
    }
    pm::futex_wait(word, 0, left);
  }
}
