/* Reads the vectors that write-vectors.ts makes; vector-file.ts describes the format. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <stdexcept>
#include <string>
#include <vector>

using Bytes = std::vector<uint8_t>;

struct Vector {
  std::string kernel, name;
  std::vector<double> numbers;
  std::vector<Bytes> inputs;
  Bytes before, expected;
  std::string closeness;
  std::vector<double> limits;
};

class VectorFile {
public:
  /* Throws std::runtime_error when the file cannot be read or is not whole. */
  static std::vector<Vector> read(const char *path) {
    VectorFile file(path);
    if (file.text(8) != "PMVEC 1\n") throw std::runtime_error("not a file of vectors");
    std::vector<Vector> vectors;
    for (uint32_t n = file.count(); n > 0; n--) {
      Vector v;
      v.kernel = file.text(file.count());
      v.name = file.text(file.count());
      v.numbers = file.numbers();
      for (uint32_t i = file.count(); i > 0; i--) v.inputs.push_back(file.bytes(file.count()));
      v.before = file.bytes(file.count());
      v.expected = file.bytes(file.count());
      v.closeness = file.text(file.count());
      v.limits = file.numbers();
      vectors.push_back(std::move(v));
    }
    if (file.at_ != file.all_.size()) throw std::runtime_error("bytes are left after the last vector");
    return vectors;
  }

private:
  explicit VectorFile(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) throw std::runtime_error("cannot be opened");
    uint8_t piece[65536];
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) all_.insert(all_.end(), piece, piece + n);
    fclose(f);
  }

  const uint8_t *take(size_t n) {
    if (n > all_.size() - at_) throw std::runtime_error("it ends too early");
    at_ += n;
    return all_.data() + at_ - n;
  }

  uint32_t count() {
    uint32_t n;
    memcpy(&n, take(4), 4);
    return n;
  }

  Bytes bytes(size_t n) {
    const uint8_t *p = take(n);
    return Bytes(p, p + n);
  }

  std::string text(size_t n) { return std::string((const char *)take(n), n); }

  std::vector<double> numbers() {
    const size_t n = count();
    const uint8_t *p = take(n * 8);
    std::vector<double> values(n);
    if (n) memcpy(values.data(), p, n * 8);
    return values;
  }

  std::vector<uint8_t> all_;
  size_t at_ = 0;
};
