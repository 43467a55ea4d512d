/* Layout of quantised activation rows: int8 values, then scales, then sums. Static: used by every instruction set. */
#pragma once
#include <stdint.h>

namespace {

static inline int64_t round_up_64(int64_t n) { return (n + 63) & ~(int64_t)63; }

/* Q8_0 form: int8[cols], float[cols/32] scales (f16-rounded), int32[cols/32] sums of the int8 values. */
struct SmallActivation {
  const int8_t *q;
  const float *d;
  const int32_t *sum;
  static inline int64_t d_offset(int64_t cols) { return round_up_64(cols); }
  static inline int64_t sum_offset(int64_t cols) { return d_offset(cols) + round_up_64(cols / 32 * 4); }
  static inline int64_t bytes(int64_t cols) { return sum_offset(cols) + round_up_64(cols / 32 * 4); }
  static inline SmallActivation at(const uint8_t *p, int64_t cols) {
    return {(const int8_t *)p, (const float *)(p + d_offset(cols)), (const int32_t *)(p + sum_offset(cols))};
  }
};

/* Q8_K form: int8[cols], float[cols/256] scales, int16[cols/16] sums of 16, int16[cols/32] sums of 32. */
struct SuperActivation {
  const int8_t *q;
  const float *d;
  const int16_t *sum16, *sum32;
  static inline int64_t d_offset(int64_t cols) { return round_up_64(cols); }
  static inline int64_t sum16_offset(int64_t cols) { return d_offset(cols) + round_up_64(cols / 256 * 4); }
  static inline int64_t sum32_offset(int64_t cols) { return sum16_offset(cols) + round_up_64(cols / 16 * 2); }
  static inline int64_t bytes(int64_t cols) { return sum32_offset(cols) + round_up_64(cols / 32 * 2); }
  static inline SuperActivation at(const uint8_t *p, int64_t cols) {
    return {(const int8_t *)p, (const float *)(p + d_offset(cols)), (const int16_t *)(p + sum16_offset(cols)),
            (const int16_t *)(p + sum32_offset(cols))};
  }
};

} // namespace
