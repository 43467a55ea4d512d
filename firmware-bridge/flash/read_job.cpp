#include "read_job.h"

#include "crc32c.h"
#include "flash_file.h"

#include <algorithm>
#include <cerrno>

namespace pocketmoe::flash {
namespace {

/* Linux moves at most this much per read; a multiple of 4 KiB. */
constexpr int64_t largest_transfer = 0x7FFFF000;

}  // namespace

size_t ReadJob::transfer_length() const {
  int64_t most = largest_transfer;
  if (fault.fragment > 0)
    most = direct ? (fault.fragment + direct_block - 1) / direct_block * direct_block : fault.fragment;
  return size_t(std::min(request.length - position, most));
}

bool ReadJob::advance(int64_t result) {
  if (result == -EINTR) return true;
  if (result < 0) {
    error = int32_t(result);
    return false;
  }
  const int64_t reached = position + result;
  if (reached <= done) return false; /* end of file */
  done = reached;
  if (done >= request.length || (done >= wanted_end() && fault.fragment == 0)) return false;
  /* A direct read ends inside a block at the end of file, or when the device was interrupted: only trying the
   * block again can tell. */
  position = direct ? done & ~(direct_block - 1) : done;
  return true;
}

int32_t ReadJob::verdict() {
  if (error != 0) return error;
  if (fault.cut) done = std::min(done, wanted_end() - 1);
  if (done < wanted_end()) return PM_FLASH_SHORT;
  uint8_t *const data = reinterpret_cast<uint8_t *>(request.dst) + request.data_offset;
  if (fault.flip) {
    const uint64_t bit = mix(uint64_t(number)) % (uint64_t(request.data_length) * 8);
    data[bit / 8] ^= uint8_t(1u << (bit % 8));
  }
  if (request.check && crc32c(0, data, size_t(request.data_length)) != request.crc) return PM_FLASH_CORRUPT;
  return 1;
}

}  // namespace pocketmoe::flash
