#pragma once
#include "pocketmoe_flash.h"

#include <cstdint>
#include <vector>

namespace pocketmoe::flash {

struct QueuedRead {
  pm_flash_read request;
  int fd;
  bool direct;
};

/* Two first-in-first-out lists over one pool of nodes: demand reads, then prefetches. The pool grows in reserve()
 * only, so taking and adding never allocate. Not synchronised. */
class ReadQueue {
 public:
  int64_t size() const { return size_; }
  /* Makes room for `count` more; false when that would exceed PM_FLASH_MAX_QUEUED. May throw std::bad_alloc. */
  bool reserve(int64_t count);
  /* Needs reserved room. */
  void add(const QueuedRead &read);
  bool take(QueuedRead *read);
  /* Removes the read of this state word; false when it is not queued. */
  bool remove(const int32_t *state);
  /* Moves a prefetch to the end of the demand reads; false when no such prefetch is queued. */
  bool promote(const int32_t *state);

 private:
  struct Node {
    QueuedRead read;
    int32_t next, previous; /* -1: none */
  };
  struct List {
    int32_t first = -1, last = -1;
  };

  void append(List &list, int32_t index);
  void unlink(List &list, int32_t index);
  int32_t find(const List &list, const int32_t *state) const;
  void release(int32_t index);

  std::vector<Node> nodes_;
  List lists_[2]; /* by enum pm_flash_priority */
  int32_t free_ = -1;
  int64_t size_ = 0;
};

}  // namespace pocketmoe::flash
