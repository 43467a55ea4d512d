/* Compares a result with what the reference says; vector-file.ts describes the ways. */
#pragma once
#include "vector_file.h"

#include <math.h>

class Closeness {
public:
  /* Empty when the result is close enough, else what is wrong. */
  static std::string compare(const Vector &v, const Bytes &actual) {
    if (actual.size() != v.expected.size()) return "a result of another size";
    if (v.closeness == "same bits") {
      for (size_t i = 0; i < actual.size(); i++)
        if (actual[i] != v.expected[i]) return text("byte %.0f of %.0f differs", (double)i, (double)actual.size());
      return "";
    }
    const Closeness c(v, actual);
    for (size_t i = 0; i < c.n_; i++)
      if (c.expected(i) == GUARD && c.before(i) == GUARD && c.actual(i) != GUARD)
        return text("float %.0f is %g, but must not be written", (double)i, c.actual(i));
    const auto limit = [&](size_t i) { return v.limits.at(i); };
    if (v.closeness == "rms") {
      const double error = c.error(0, c.n_);
      return error <= limit(0) ? "" : text("error %.3g, allowed are %.3g", error, limit(0));
    }
    if (v.closeness == "each") {
      for (size_t i = 0; i < c.n_; i++)
        if (!(fabs(c.difference(i)) <= limit(0) * fabs(c.expected(i)) + limit(1)))
          return text("float %.0f differs by %.3g", (double)i, c.difference(i)) +
                 text(" from %.9g, allowed are %.3g of it", c.expected(i), limit(0));
      return "";
    }
    if (v.closeness != "rows") return "compared in an unknown way: " + v.closeness;
    const size_t width = (size_t)limit(0), stride = (size_t)limit(1);
    size_t rows = 0, far = 0;
    for (size_t at = 0; at + width <= c.n_; at += stride, rows++) {
      const double size = c.size(at, width);
      const double error = c.error(at, width) / (size > 0 ? size : 1);
      if (!(error <= limit(3))) return text("row %.0f has an error of %.3g", (double)rows, error);
      far += error > limit(2);
    }
    return far <= (rows + 2) / 3 ? "" : text("%.0f rows have an error of more than %.3g", (double)far, limit(2));
  }

private:
  static constexpr float GUARD = 123.5f;

  Closeness(const Vector &v, const Bytes &actual) : v_(v), actual_(actual), n_(actual.size() / 4) {}

  static float at(const Bytes &bytes, size_t i) {
    float f;
    memcpy(&f, bytes.data() + i * 4, 4);
    return f;
  }
  float actual(size_t i) const { return at(actual_, i); }
  float expected(size_t i) const { return at(v_.expected, i); }
  float before(size_t i) const { return at(v_.before, i); }

  /* Infinities that are equal do not differ. */
  double difference(size_t i) const {
    return actual(i) == expected(i) ? 0 : (double)actual(i) - (double)expected(i);
  }

  double error(size_t first, size_t count) const {
    double sum = 0;
    for (size_t i = first; i < first + count; i++) sum += difference(i) * difference(i);
    return sqrt(sum / (double)count);
  }

  double size(size_t first, size_t count) const {
    double sum = 0;
    for (size_t i = first; i < first + count; i++) sum += (double)expected(i) * (double)expected(i);
    return sqrt(sum / (double)count);
  }

  static std::string text(const char *format, double a, double b) {
    char line[160];
    snprintf(line, sizeof line, format, a, b);
    return line;
  }

  const Vector &v_;
  const Bytes &actual_;
  size_t n_;
};
