#include "fault.h"

namespace pocketmoe::flash {

uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

ReadFault Fault::for_read(int64_t number) const {
  ReadFault fault;
  const bool hit = number == nth;
  switch (kind) {
    case 1: fault.eio = hit; break;
    case 2: fault.cut = hit; break;
    case 3: fault.flip = hit; break;
    case 4:
      if (delay_us > 0) fault.delay_us = int64_t(mix(uint64_t(nth) ^ mix(uint64_t(number))) % (uint64_t(delay_us) + 1));
      break;
    case 5: fault.delay_us = delay_us > 0 ? delay_us : 0; break;
    case 6: fault.fragment = nth > 0 ? nth : 0; break;
    default: break;
  }
  return fault;
}

}  // namespace pocketmoe::flash
