#pragma once
#include "fault.h"
#include "pocketmoe_flash.h"

#include <cstddef>
#include <cstdint>

namespace pocketmoe::flash {

/* A read on its way: the request, how far it has come, and what it came to. Belongs to one lane. */
struct ReadJob {
  pm_flash_read request{};
  int fd = -1;
  bool direct = false;
  ReadFault fault;
  int64_t number = 0;   /* of all reads begun */
  int64_t position = 0; /* where the next transfer begins, relative to the request; 4 KiB aligned when direct */
  int64_t done = 0;     /* bytes at the start of the destination that are there */
  int32_t error = 0;    /* -errno */

  int64_t wanted_end() const { return request.data_offset + request.data_length; }

  /* The next transfer. */
  void *target() const { return reinterpret_cast<void *>(request.dst + uint64_t(position)); }
  int64_t file_offset() const { return request.offset + position; }
  size_t transfer_length() const;

  /* Takes note of a transfer's result (bytes, or -errno); true when another transfer is needed. */
  bool advance(int64_t result);

  /* After the last transfer: 1, -errno or enum pm_flash_failure. Compares the checksum. */
  int32_t verdict();
};

}  // namespace pocketmoe::flash
