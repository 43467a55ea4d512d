/* Waiting on 32-bit words with process-private futexes, the kind that flash lanes wake. */
#pragma once
#include <stdint.h>

namespace pm {

/* Sleeps while *word == expected, at most timeout_ns (< 0: for ever). May wake for no reason. */
void futex_wait(const int32_t *word, int32_t expected, int64_t timeout_ns);
/* Sleeps until one of the words is no longer 0, at most timeout_ns. At most 128 words; may wake for no reason. */
void futex_wait_any(const int32_t *const *words, int32_t count, int64_t timeout_ns);
void futex_wake(const int32_t *word, int32_t count);
int64_t now_ns();

} // namespace pm
