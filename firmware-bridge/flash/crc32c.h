#pragma once
#include <cstddef>
#include <cstdint>

namespace pocketmoe::flash {

/* CRC32C of `length` bytes, continuing from `crc`. Hardware instructions where the CPU has them. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t length);

}  // namespace pocketmoe::flash
