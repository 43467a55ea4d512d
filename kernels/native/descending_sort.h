/* Sorts ids by descending score in the order in which the GNU C++ library's std::sort leaves them.
 *
 * Saturated routers have many equal scores, and which of them come first decides which experts run. llama.cpp sorts
 * with std::sort, so its choice is that of the GNU library's introspective sort (Musser 1997): median-of-three
 * quicksort down to runs of 16, a heap sort where the depth runs out, one insertion sort at the end. Written out here
 * because every other standard library orders equal scores differently. Same as kernels/reference/descending-sort.ts. */
#pragma once
#include <stdint.h>

namespace pm {

class DescendingSort {
public:
  /* Sorts ids[0 … n). Scores must not be NaN. */
  static void sort(int32_t *ids, int32_t n, const float *scores) {
    if (n < 2) return;
    const DescendingSort sorter(scores);
    int depth = 0;
    for (int32_t m = n; m > 1; m >>= 1) depth += 2;
    sorter.split(ids, ids + n, depth);
    for (int32_t i = 1; i < n; i++) sorter.insert(ids, ids + i);
  }

private:
  static constexpr int RUN = 16; /* runs of this length are left to insertion */

  explicit DescendingSort(const float *scores) : scores_(scores) {}

  bool before(int32_t a, int32_t b) const { return scores_[a] > scores_[b]; }

  static void swap(int32_t *a, int32_t *b) {
    const int32_t id = *a;
    *a = *b;
    *b = id;
  }

  void split(int32_t *first, int32_t *last, int depth) const {
    while (last - first > RUN) {
      if (depth-- == 0) return heap_sort(first, (int32_t)(last - first));
      swap(first, median(first + 1, first + (last - first) / 2, last - 1));
      int32_t *cut = partition(first + 1, last, *first);
      split(cut, last, depth);
      last = cut;
    }
  }

  /* Which of three places holds the middle score. */
  int32_t *median(int32_t *a, int32_t *b, int32_t *c) const {
    if (before(*a, *b)) return before(*b, *c) ? b : before(*a, *c) ? c : a;
    return before(*a, *c) ? a : before(*b, *c) ? c : b;
  }

  /* Scores equal to the pivot's stop both scans and change places, which keeps the parts even. The pivot is the median
   * of three, so each scan meets a score that stops it. */
  int32_t *partition(int32_t *first, int32_t *last, int32_t pivot) const {
    for (;; first++) {
      while (before(*first, pivot)) first++;
      do last--;
      while (before(pivot, *last));
      if (first >= last) return first;
      swap(first, last);
    }
  }

  /* Moves *at down to its place among the sorted ids from `first` on. */
  void insert(int32_t *first, int32_t *at) const {
    const int32_t id = *at;
    for (; at > first && before(id, at[-1]); at--) *at = at[-1];
    *at = id;
  }

  /* A heap with the last of the order on top. */
  void heap_sort(int32_t *heap, int32_t n) const {
    for (int32_t hole = n / 2 - 1; hole >= 0; hole--) refill(heap, n, hole, heap[hole]);
    for (int32_t end = n - 1; end > 0; end--) {
      const int32_t id = heap[end];
      heap[end] = heap[0];
      refill(heap, end, 0, id);
    }
  }

  /* Puts id into the subtree of a hole: the hole first sinks to a leaf, whatever the id, then the id rises from there.
   * That is what decides among equal scores. */
  void refill(int32_t *heap, int32_t n, int32_t hole, int32_t id) const {
    const int32_t top = hole;
    for (int32_t child = 2 * hole + 2; child <= n; child = 2 * hole + 2) {
      if (child == n || before(heap[child], heap[child - 1])) child--;
      heap[hole] = heap[child];
      hole = child;
    }
    for (int32_t parent = (hole - 1) / 2; hole > top && before(heap[parent], id); parent = (hole - 1) / 2) {
      heap[hole] = heap[parent];
      hole = parent;
    }
    heap[hole] = id;
  }

  const float *scores_;
};

} // namespace pm
