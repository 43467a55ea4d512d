#include "flash_file.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace pocketmoe::flash {
namespace {

/* File systems that cannot read directly say so at F_SETFL or, some of them, only at the first read. */
bool make_direct(int fd, int flags, bool regular, int64_t size) {
  if (fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) return false;
  const std::unique_ptr<void, void (*)(void *)> block(std::aligned_alloc(direct_block, direct_block), std::free);
  if (block) {
    ssize_t got;
    do got = pread(fd, block.get(), direct_block, 0);
    while (got < 0 && errno == EINTR);
    const int64_t expected = regular && size < direct_block ? size : direct_block;
    if (got == expected) return true;
  }
  fcntl(fd, F_SETFL, flags);
  return false;
}

}  // namespace

int open_flash_file(const char *path, bool direct, FlashFile *file) {
  /* O_NONBLOCK only so that opening a pipe by mistake does not hang; it is taken off again below. */
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -errno;
  struct stat info;
  int error = 0;
  if (fstat(fd, &info) != 0)
    error = errno;
  else if (S_ISDIR(info.st_mode))
    error = EISDIR;
  else if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
    error = EINVAL;
  const int flags = fcntl(fd, F_GETFL);
  if (error == 0 && (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)) error = errno;
  if (error != 0) {
    close(fd);
    return -error;
  }
  file->fd = fd;
  file->direct = direct && make_direct(fd, flags & ~O_NONBLOCK, S_ISREG(info.st_mode), info.st_size);
  if (!file->direct) posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* no read-ahead: reads are already large */
  return 0;
}

void close_flash_file(FlashFile *file) {
  if (file->fd >= 0) close(file->fd);
  file->fd = -1;
}

int drop_cached(int fd, int64_t offset, int64_t length) {
  /* Only whole pages are dropped, so the range grows to the pages it touches. */
  const int64_t begin = offset & ~(direct_block - 1);
  int64_t end;
  if (__builtin_add_overflow(offset, length, &end) || __builtin_add_overflow(end, direct_block - 1, &end))
    return -EOVERFLOW;
  return -posix_fadvise(fd, begin, (end & ~(direct_block - 1)) - begin, POSIX_FADV_DONTNEED);
}

}  // namespace pocketmoe::flash
