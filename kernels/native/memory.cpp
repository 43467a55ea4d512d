/* Memory of the engine: anonymous pages, outside of JavaScript's heap. */
#include "exports.h"

#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <stdlib.h>
#include <string.h>

/* From the sanitizer's allocator, so that one byte past the end is found, not only what leaves the last page. */
void *pm_alloc(size_t bytes) {
  void *p = nullptr;
  if (bytes == 0 || bytes > (size_t)1 << 36 || posix_memalign(&p, 4096, bytes) != 0) return nullptr;
  return memset(p, 0, bytes);
}

void pm_release(void *p, size_t) { free(p); }

#else

void *pm_alloc(size_t bytes) {
  if (bytes == 0 || bytes > (size_t)1 << 47) return nullptr;
  void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  if (bytes >= (size_t)2 << 20) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

void pm_release(void *p, size_t bytes) {
  if (p) munmap(p, bytes);
}

#endif
