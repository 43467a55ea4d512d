/* Memory for one argument of a kernel: not a byte more than it holds, and no better aligned than was promised. */
#pragma once
#include "vector_file.h"

#include <stdlib.h>

class Span {
public:
  /* Floats and integers: 4 bytes past a cache line. */
  static constexpr size_t NUMBERS = 4;
  /* Weights and caches: 32 bytes past one. */
  static constexpr size_t WEIGHTS = 32;

  Span(const Bytes &bytes, size_t offset) : size_(bytes.size()) {
    if (posix_memalign(&base_, 64, offset + size_) != 0) throw std::runtime_error("no memory");
    data_ = (uint8_t *)base_ + offset;
    if (size_) memcpy(data_, bytes.data(), size_);
  }
  Span(Span &&other) noexcept : base_(other.base_), data_(other.data_), size_(other.size_) { other.base_ = nullptr; }
  Span(const Span &) = delete;
  Span &operator=(const Span &) = delete;
  ~Span() { free(base_); }

  uint8_t *data() const { return data_; }
  float *floats() const { return (float *)data_; }
  int32_t *ints() const { return (int32_t *)data_; }
  size_t size() const { return size_; }
  uint64_t address() const { return (uint64_t)(uintptr_t)data_; }
  Bytes copy() const { return Bytes(data_, data_ + size_); }

private:
  void *base_ = nullptr;
  uint8_t *data_;
  size_t size_;
};
