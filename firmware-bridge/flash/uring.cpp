#include "uring.h"

#ifdef PM_HAVE_URING
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pocketmoe::flash {
namespace {

void *map_ring(int fd, size_t bytes, off_t offset) {
  void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  return p == MAP_FAILED ? nullptr : p;
}

unsigned *at(void *base, unsigned offset) {
  return reinterpret_cast<unsigned *>(static_cast<char *>(base) + offset);
}

}  // namespace

Uring::~Uring() {
  if (entries_) munmap(entries_, entries_bytes_);
  if (completion_ring_ && completion_ring_ != rings_) munmap(completion_ring_, completion_ring_bytes_);
  if (rings_) munmap(rings_, rings_bytes_);
  if (fd_ >= 0) close(fd_);
}

int Uring::open(unsigned entries) {
  io_uring_params params{};
  fd_ = int(syscall(SYS_io_uring_setup, entries, &params));
  if (fd_ < 0) return -errno;
  if (!(params.features & IORING_FEAT_RW_CUR_POS)) return -ENOSYS;

  rings_bytes_ = params.sq_off.array + params.sq_entries * sizeof(unsigned);
  completion_ring_bytes_ = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
  const bool single = (params.features & IORING_FEAT_SINGLE_MMAP) != 0;
  if (single) rings_bytes_ = std::max(rings_bytes_, completion_ring_bytes_);
  rings_ = map_ring(fd_, rings_bytes_, IORING_OFF_SQ_RING);
  if (!rings_) return -errno;
  completion_ring_ = single ? rings_ : map_ring(fd_, completion_ring_bytes_, IORING_OFF_CQ_RING);
  if (!completion_ring_) return -errno;
  entries_bytes_ = params.sq_entries * sizeof(io_uring_sqe);
  entries_ = static_cast<io_uring_sqe *>(map_ring(fd_, entries_bytes_, IORING_OFF_SQES));
  if (!entries_) return -errno;

  sq_tail_ = at(rings_, params.sq_off.tail);
  sq_mask_ = at(rings_, params.sq_off.ring_mask);
  sq_array_ = at(rings_, params.sq_off.array);
  cq_head_ = at(completion_ring_, params.cq_off.head);
  cq_tail_ = at(completion_ring_, params.cq_off.tail);
  cq_mask_ = at(completion_ring_, params.cq_off.ring_mask);
  completions_ = reinterpret_cast<io_uring_cqe *>(at(completion_ring_, params.cq_off.cqes));
  tail_ = *sq_tail_;
  return 0;
}

io_uring_sqe *Uring::next() {
  const unsigned index = tail_ & *sq_mask_;
  sq_array_[index] = index;
  tail_++;
  pending_++;
  io_uring_sqe *entry = &entries_[index];
  std::memset(entry, 0, sizeof *entry);
  return entry;
}

int Uring::enter(unsigned wait) {
  __atomic_store_n(sq_tail_, tail_, __ATOMIC_RELEASE);
  if (pending_ == 0 && wait == 0) return 0;
  const unsigned flags = wait > 0 ? IORING_ENTER_GETEVENTS : 0;
  const long taken = syscall(SYS_io_uring_enter, fd_, pending_, wait, flags, nullptr, 0);
  if (taken < 0) return -errno;
  pending_ -= unsigned(taken);
  return 0;
}

bool Uring::reap(uint64_t *tag, int32_t *result) {
  const unsigned head = *cq_head_;
  if (head == __atomic_load_n(cq_tail_, __ATOMIC_ACQUIRE)) return false;
  const io_uring_cqe &completion = completions_[head & *cq_mask_];
  *tag = completion.user_data;
  *result = completion.res;
  __atomic_store_n(cq_head_, head + 1, __ATOMIC_RELEASE);
  return true;
}

}  // namespace pocketmoe::flash
#endif
