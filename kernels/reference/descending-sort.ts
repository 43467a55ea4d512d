/**
 * Sorts `ids` so that scores[ids[i]] descends, leaving equal scores in the order in which ggml's sort leaves them.
 *
 * Saturated routers produce many equal scores (a float32 sigmoid is exactly 1 from 17 on), and which of them come
 * first decides which experts run. To choose what llama.cpp chooses, this is the same algorithm: the introspective
 * sort of the GNU C++ library (Musser 1997: median-of-three quicksort down to runs of 16, a heap sort where the depth
 * runs out, one insertion sort at the end). Up to 16 elements it is stable. Scores must not be NaN.
 */
export function sortDescending(ids: Int32Array, n: number, scores: Float32Array): void {
  if (n < 2) return;
  split(ids, 0, n, scores, 2 * (31 - Math.clz32(n)));
  const sorted = Math.min(n, RUN);
  for (let i = 1; i < sorted; i++) insert(ids, 0, i, scores);
  for (let i = sorted; i < n; i++) insert(ids, 0, i, scores);
}

/** Runs of this length are left to insertion. */
const RUN = 16;

function split(ids: Int32Array, first: number, last: number, scores: Float32Array, depth: number): void {
  while (last - first > RUN) {
    if (depth-- === 0) return heapSort(ids.subarray(first, last), scores);
    const middle = first + ((last - first) >> 1);
    swap(ids, first, median(ids, first + 1, middle, last - 1, scores));
    const cut = partition(ids, first + 1, last, first, scores);
    split(ids, cut, last, scores, depth);
    last = cut;
  }
}

const before = (scores: Float32Array, a: number, b: number): boolean => scores[a]! > scores[b]!;

/** Which of three positions holds the middle score. */
function median(ids: Int32Array, a: number, b: number, c: number, scores: Float32Array): number {
  const [x, y, z] = [ids[a]!, ids[b]!, ids[c]!];
  if (before(scores, x, y)) return before(scores, y, z) ? b : before(scores, x, z) ? c : a;
  return before(scores, x, z) ? a : before(scores, y, z) ? c : b;
}

function partition(
  ids: Int32Array,
  first: number,
  last: number,
  pivot: number,
  scores: Float32Array,
): number {
  const middle = ids[pivot]!;
  for (;;) {
    while (before(scores, ids[first]!, middle)) first++;
    last--;
    while (before(scores, middle, ids[last]!)) last--;
    if (first >= last) return first;
    swap(ids, first, last);
    first++;
  }
}

/** Moves element i down to its place among first … i - 1. */
function insert(ids: Int32Array, first: number, i: number, scores: Float32Array): void {
  const id = ids[i]!;
  while (i > first && before(scores, id, ids[i - 1]!)) {
    ids[i] = ids[i - 1]!;
    i--;
  }
  ids[i] = id;
}

/** With a heap that has the last of the order on top. */
function heapSort(heap: Int32Array, scores: Float32Array): void {
  for (let hole = (heap.length >> 1) - 1; hole >= 0; hole--)
    refill(heap, heap.length, hole, heap[hole]!, scores);
  for (let end = heap.length - 1; end > 0; end--) {
    const id = heap[end]!;
    heap[end] = heap[0]!;
    refill(heap, end, 0, id, scores);
  }
}

/**
 * Puts id into the subtree of a hole: the hole first sinks to a leaf, whatever the id, then the id rises from there.
 * That is what decides among equal scores.
 */
function refill(heap: Int32Array, n: number, hole: number, id: number, scores: Float32Array): void {
  const top = hole;
  for (let child = 2 * hole + 2; child <= n; child = 2 * hole + 2) {
    if (child === n || before(scores, heap[child]!, heap[child - 1]!)) child--;
    heap[hole] = heap[child]!;
    hole = child;
  }
  while (hole > top) {
    const parent = (hole - 1) >> 1;
    if (!before(scores, heap[parent]!, id)) break;
    heap[hole] = heap[parent]!;
    hole = parent;
  }
  heap[hole] = id;
}

function swap(ids: Int32Array, a: number, b: number): void {
  const id = ids[a]!;
  ids[a] = ids[b]!;
  ids[b] = id;
}
