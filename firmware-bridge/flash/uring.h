#pragma once
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif
/* IORING_FEAT_RW_CUR_POS came with the plain read operation (Linux 5.6). */
#if defined(IORING_FEAT_RW_CUR_POS)
#define PM_HAVE_URING 1

#include <cstddef>
#include <cstdint>

namespace pocketmoe::flash {

/* The two queues shared with the kernel, by plain system calls. For one thread. */
class Uring {
 public:
  Uring() = default;
  ~Uring();
  Uring(const Uring &) = delete;
  Uring &operator=(const Uring &) = delete;

  /* 0, or -errno when the kernel has no ring to give or one too old to read with. */
  int open(unsigned entries);

  /* A cleared entry to fill; it goes to the kernel with the next enter(). There must be room: callers keep less in
   * flight than the ring has entries. */
  io_uring_sqe *next();
  /* Hands over new entries and waits for `wait` completions; 0 or -errno. */
  int enter(unsigned wait);
  /* Takes one completion; false when there is none. */
  bool reap(uint64_t *tag, int32_t *result);

 private:
  int fd_ = -1;
  void *rings_ = nullptr;
  size_t rings_bytes_ = 0;
  void *completion_ring_ = nullptr; /* separate mapping on kernels without IORING_FEAT_SINGLE_MMAP */
  size_t completion_ring_bytes_ = 0;
  io_uring_sqe *entries_ = nullptr;
  size_t entries_bytes_ = 0;
  unsigned *sq_tail_ = nullptr, *sq_mask_ = nullptr, *sq_array_ = nullptr;
  unsigned *cq_head_ = nullptr, *cq_tail_ = nullptr, *cq_mask_ = nullptr;
  io_uring_cqe *completions_ = nullptr;
  unsigned tail_ = 0;    /* of the submission queue, ours */
  unsigned pending_ = 0; /* filled, not handed over */
};

}  // namespace pocketmoe::flash
#endif
