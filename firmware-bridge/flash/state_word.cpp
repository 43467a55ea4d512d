#include "state_word.h"

#include "pocketmoe_flash.h"

#include <climits>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pocketmoe::flash {
namespace {

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

void publish(int32_t *word, int32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

int32_t wait_for(const int32_t *word, int32_t timeout_ms) {
  const int64_t end = timeout_ms < 0 ? 0 : now_ns() + int64_t(timeout_ms) * 1'000'000;
  for (;;) {
    const int32_t value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (value != 0) return value;
    timespec left{}, *timeout = nullptr;
    if (timeout_ms >= 0) {
      const int64_t ns = end - now_ns();
      if (ns <= 0) return 0;
      left.tv_sec = time_t(ns / 1'000'000'000);
      left.tv_nsec = long(ns % 1'000'000'000);
      timeout = &left;
    }
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, timeout, nullptr, 0);
  }
}

}  // namespace pocketmoe::flash

extern "C" int32_t pm_flash_wait(const int32_t *state, int32_t timeout_ms) {
  return pocketmoe::flash::wait_for(state, timeout_ms);
}
