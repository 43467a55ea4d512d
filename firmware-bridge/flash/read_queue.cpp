#include "read_queue.h"

#include <algorithm>

namespace pocketmoe::flash {

bool ReadQueue::reserve(int64_t count) {
  const int64_t needed = size_ + count;
  if (needed > PM_FLASH_MAX_QUEUED) return false;
  const int64_t have = int64_t(nodes_.size());
  if (needed <= have) return true;
  const int64_t grown = std::max<int64_t>({needed, 2 * have, 256});
  nodes_.resize(size_t(grown));
  for (int64_t i = grown - 1; i >= have; i--) release(int32_t(i));
  return true;
}

void ReadQueue::add(const QueuedRead &read) {
  const int32_t index = free_;
  free_ = nodes_[size_t(index)].next;
  nodes_[size_t(index)].read = read;
  append(lists_[read.request.priority], index);
  size_++;
}

bool ReadQueue::take(QueuedRead *read) {
  for (List &list : lists_) {
    const int32_t index = list.first;
    if (index < 0) continue;
    *read = nodes_[size_t(index)].read;
    unlink(list, index);
    release(index);
    size_--;
    return true;
  }
  return false;
}

bool ReadQueue::remove(const int32_t *state) {
  for (List &list : lists_) {
    const int32_t index = find(list, state);
    if (index < 0) continue;
    unlink(list, index);
    release(index);
    size_--;
    return true;
  }
  return false;
}

bool ReadQueue::promote(const int32_t *state) {
  const int32_t index = find(lists_[PM_FLASH_PREFETCH], state);
  if (index < 0) return false;
  unlink(lists_[PM_FLASH_PREFETCH], index);
  nodes_[size_t(index)].read.request.priority = PM_FLASH_DEMAND;
  append(lists_[PM_FLASH_DEMAND], index);
  return true;
}

void ReadQueue::append(List &list, int32_t index) {
  Node &node = nodes_[size_t(index)];
  node.next = -1;
  node.previous = list.last;
  (list.last < 0 ? list.first : nodes_[size_t(list.last)].next) = index;
  list.last = index;
}

void ReadQueue::unlink(List &list, int32_t index) {
  const Node &node = nodes_[size_t(index)];
  (node.previous < 0 ? list.first : nodes_[size_t(node.previous)].next) = node.next;
  (node.next < 0 ? list.last : nodes_[size_t(node.next)].previous) = node.previous;
}

int32_t ReadQueue::find(const List &list, const int32_t *state) const {
  const uint64_t address = reinterpret_cast<uint64_t>(state);
  int32_t index = list.first;
  while (index >= 0 && nodes_[size_t(index)].read.request.state != address) index = nodes_[size_t(index)].next;
  return index;
}

void ReadQueue::release(int32_t index) {
  nodes_[size_t(index)].next = free_;
  free_ = index;
}

}  // namespace pocketmoe::flash
