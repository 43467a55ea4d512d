/* The C interface: checks what the caller hands over, then leaves it to the lanes. No exception leaves it. */
#include "flash_file.h"
#include "lanes.h"
#include "state_word.h"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <new>

using namespace pocketmoe::flash;

static_assert(sizeof(pm_flash_read) == 64 && sizeof(pm_flash_stats) == 64, "layouts shared with the bindings");

struct pm_flash {
  Traffic traffic;
  std::unique_ptr<Lanes> lanes;
};

namespace {

int32_t clamp_lanes(int32_t lanes) { return std::clamp<int32_t>(lanes, 1, PM_FLASH_MAX_LANES); }

const FlashFile *find_file(const Traffic &traffic, int32_t file) {
  return file >= 0 && size_t(file) < traffic.files.size() ? &traffic.files[size_t(file)] : nullptr;
}

bool possible(const pm_flash_read &r, const FlashFile &file) {
  int64_t end;
  uint64_t last;
  if (r.dst == 0 || r.state == 0 || r.state % alignof(int32_t) != 0) return false;
  if (r.offset < 0 || r.length <= 0 || __builtin_add_overflow(r.offset, r.length, &end)) return false;
  if (__builtin_add_overflow(r.dst, uint64_t(r.length), &last)) return false;
  if (r.data_offset < 0 || r.data_length <= 0 || r.data_offset > r.length - r.data_length) return false;
  if (r.priority != PM_FLASH_DEMAND && r.priority != PM_FLASH_PREFETCH) return false;
  if (r.check > 1) return false;
  return !file.direct || (r.offset % direct_block == 0 && r.length % direct_block == 0 && r.dst % direct_block == 0);
}

int32_t *word_of(const pm_flash_read &read) { return reinterpret_cast<int32_t *>(read.state); }

}  // namespace

extern "C" {

int32_t pm_flash_abi(void) { return PM_FLASH_ABI; }

pm_flash *pm_flash_create(int32_t lanes, int32_t backend) {
  if (backend != PM_FLASH_PREAD && backend != PM_FLASH_URING) return nullptr;
  try {
    auto flash = std::make_unique<pm_flash>();
    flash->lanes = backend == PM_FLASH_URING ? make_uring_lanes(flash->traffic, clamp_lanes(lanes))
                                             : make_pread_lanes(flash->traffic, clamp_lanes(lanes));
    return flash->lanes ? flash.release() : nullptr;
  } catch (const std::exception &) {
    return nullptr;
  }
}

void pm_flash_destroy(pm_flash *flash) {
  if (!flash) return;
  {
    const std::lock_guard lock(flash->traffic.mutex);
    QueuedRead read;
    while (flash->traffic.queue.take(&read)) publish(word_of(read.request), PM_FLASH_CANCELLED);
  }
  flash->lanes.reset();
  for (FlashFile &file : flash->traffic.files) close_flash_file(&file);
  delete flash;
}

int32_t pm_flash_open(pm_flash *flash, const char *path, int32_t direct) {
  if (!path) return -EFAULT;
  FlashFile file;
  const int error = open_flash_file(path, direct != 0, &file);
  if (error != 0) return error;
  try {
    const std::lock_guard lock(flash->traffic.mutex);
    flash->traffic.files.push_back(file);
    return int32_t(flash->traffic.files.size() - 1);
  } catch (const std::bad_alloc &) {
    close_flash_file(&file);
    return -ENOMEM;
  }
}

int32_t pm_flash_is_direct(const pm_flash *flash, int32_t file) {
  const std::lock_guard lock(flash->traffic.mutex);
  const FlashFile *found = find_file(flash->traffic, file);
  return found && found->direct;
}

int32_t pm_flash_submit(pm_flash *flash, const pm_flash_read *reads, int32_t count) {
  if (count < 0) return -EINVAL;
  if (count == 0) return 0;
  bool wake;
  {
    const std::lock_guard lock(flash->traffic.mutex);
    for (int32_t i = 0; i < count; i++) {
      const FlashFile *file = find_file(flash->traffic, reads[i].file);
      if (!file || !possible(reads[i], *file)) return 1 + i;
    }
    try {
      if (!flash->traffic.queue.reserve(count)) return -EAGAIN;
    } catch (const std::bad_alloc &) {
      return -ENOMEM;
    }
    for (int32_t i = 0; i < count; i++) {
      const FlashFile *file = find_file(flash->traffic, reads[i].file);
      __atomic_store_n(word_of(reads[i]), 0, __ATOMIC_RELEASE);
      flash->traffic.queue.add({reads[i], file->fd, file->direct});
    }
    wake = flash->lanes->needs_wake();
  }
  if (wake) flash->lanes->wake();
  return 0;
}

int32_t pm_flash_cancel(pm_flash *flash, const int32_t *state) {
  {
    const std::lock_guard lock(flash->traffic.mutex);
    if (!flash->traffic.queue.remove(state)) return 0;
    flash->traffic.ended.cancelled++;
  }
  publish(const_cast<int32_t *>(state), PM_FLASH_CANCELLED);
  return 1;
}

int32_t pm_flash_promote(pm_flash *flash, const int32_t *state) {
  const std::lock_guard lock(flash->traffic.mutex);
  return flash->traffic.queue.promote(state);
}

int32_t pm_flash_drop(pm_flash *flash, int32_t file, int64_t offset, int64_t length) {
  if (offset < 0 || length <= 0) return -EINVAL;
  int fd = -1;
  {
    const std::lock_guard lock(flash->traffic.mutex);
    if (const FlashFile *found = find_file(flash->traffic, file)) fd = found->fd;
  }
  return fd < 0 ? -EBADF : drop_cached(fd, offset, length);
}

void pm_flash_set_lanes(pm_flash *flash, int32_t lanes) { flash->lanes->resize(clamp_lanes(lanes)); }

void pm_flash_get_stats(const pm_flash *flash, pm_flash_stats *stats) { *stats = flash->traffic.stats(); }

void pm_flash_inject(pm_flash *flash, int32_t kind, int64_t nth, int32_t delay_us) {
  const std::lock_guard lock(flash->traffic.mutex);
  flash->traffic.fault = {kind, nth, delay_us};
}

}  // extern "C"
