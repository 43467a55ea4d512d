#pragma once
#include <cstdint>

namespace pocketmoe::flash {

/* Ends a read for everyone who waits: stores the word with release order and wakes all waiters. The word may be
 * freed by its owner as soon as it is stored; the wake of a freed address is harmless. */
void publish(int32_t *word, int32_t value);

/* Blocks until the word is not 0 or `timeout_ms` passes (< 0: for ever); returns the word. */
int32_t wait_for(const int32_t *word, int32_t timeout_ms);

}  // namespace pocketmoe::flash
