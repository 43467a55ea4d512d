#pragma once
#include <cstdint>

namespace pocketmoe::flash {

/* What an injected fault does to one read. */
struct ReadFault {
  bool eio = false, cut = false, flip = false;
  int64_t delay_us = 0;
  int64_t fragment = 0; /* most bytes of one transfer, 0: all */
};

/* The fault injected now; see pm_flash_inject. */
struct Fault {
  int32_t kind = 0;
  int64_t nth = 0;
  int32_t delay_us = 0;

  ReadFault for_read(int64_t number) const;
};

/* Mixes a number into 64 pseudo-random bits (splitmix64's finaliser). */
uint64_t mix(uint64_t x);

}  // namespace pocketmoe::flash
