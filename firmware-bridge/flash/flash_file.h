#pragma once
#include <cstdint>

namespace pocketmoe::flash {

/* Alignment of offsets, lengths and memory that every direct file is held to. */
constexpr int64_t direct_block = 4096;

struct FlashFile {
  int fd = -1;
  bool direct = false;
};

/* Opens a regular file or block device for reading; 0 or -errno. With `direct`, O_DIRECT is tried and verified by
 * reading the first block; if the file system refuses, the file stays buffered. */
int open_flash_file(const char *path, bool direct, FlashFile *file);

void close_flash_file(FlashFile *file);

/* Drops the pages that [offset, offset + length) touches from the page cache; 0 or -errno. */
int drop_cached(int fd, int64_t offset, int64_t length);

}  // namespace pocketmoe::flash
