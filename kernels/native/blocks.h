/* The weight blocks of GGUF files, unpacked one row at a time in plain code.
 *
 * Two families. In a Small block 32 weights share a scale: w = d * (q - ZERO) + m. In a Super block 256 weights
 * are split into sub-blocks of SUB with integer scales: w = d * scale[s] * (q - ZERO) - dmin * min[s].
 * q is always unsigned and at most MAX_Q. Everything is static: compiled once per instruction set.
 */
#pragma once
#include "half.h"

namespace {

struct SmallBlock {
  uint8_t q[32];
  float d, m;
};

struct SuperBlock {
  uint8_t q[256];
  int16_t scale[16]; /* 256 / SUB used */
  int16_t min[16];
  float d, dmin;
};

static inline void split_nibbles(const uint8_t *packed, uint8_t *q) {
  for (int i = 0; i < 16; i++) {
    q[i] = packed[i] & 15;
    q[i + 16] = packed[i] >> 4;
  }
}

static inline void add_fifth_bits(const uint8_t *high, uint8_t *q) {
  const uint32_t bits = load_u32(high);
  for (int i = 0; i < 32; i++) q[i] |= (uint8_t)((bits >> i & 1) << 4);
}

/* 2^(e - 128): half of the E8M0 scale, because the FP4 values below are doubled to be integers. */
static inline float half_e8m0(uint8_t e) {
  return float_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* FP4 (E2M1) values doubled, plus 12. */
static const uint8_t MXFP4_VALUES[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
/* The 16 levels of IQ4_NL, plus 128. */
static const uint8_t IQ4_NL_VALUES[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

struct Q4_0 {
  static constexpr int BYTES = 18, MAX_Q = 15, ZERO = 8;
  static constexpr bool HAS_MIN = false;
  static inline void unpack(const uint8_t *b, SmallBlock &o) {
    o.d = load_half(b);
    split_nibbles(b + 2, o.q);
  }
};

struct Q4_1 {
  static constexpr int BYTES = 20, MAX_Q = 15, ZERO = 0;
  static constexpr bool HAS_MIN = true;
  static inline void unpack(const uint8_t *b, SmallBlock &o) {
    o.d = load_half(b);
    o.m = load_half(b + 2);
    split_nibbles(b + 4, o.q);
  }
};

struct Q5_0 {
  static constexpr int BYTES = 22, MAX_Q = 31, ZERO = 16;
  static constexpr bool HAS_MIN = false;
  static inline void unpack(const uint8_t *b, SmallBlock &o) {
    o.d = load_half(b);
    split_nibbles(b + 6, o.q);
    add_fifth_bits(b + 2, o.q);
  }
};

struct Q5_1 {
  static constexpr int BYTES = 24, MAX_Q = 31, ZERO = 0;
  static constexpr bool HAS_MIN = true;
  static inline void unpack(const uint8_t *b, SmallBlock &o) {
    o.d = load_half(b);
    o.m = load_half(b + 2);
    split_nibbles(b + 8, o.q);
    add_fifth_bits(b + 4, o.q);
  }
};

struct Q8_0 {
  static constexpr int BYTES = 34, MAX_Q = 255, ZERO = 128;
  static constexpr bool HAS_MIN = false;
  static inline void unpack(const uint8_t *b, SmallBlock &o) {
    o.d = load_half(b);
    for (int i = 0; i < 32; i++) o.q[i] = b[2 + i] ^ 0x80;
  }
};

struct IQ4_NL {
  static constexpr int BYTES = 18, MAX_Q = 255, ZERO = 128;
  static constexpr bool HAS_MIN = false;
  static inline void unpack(const uint8_t *b, SmallBlock &o) {
    o.d = load_half(b);
    for (int i = 0; i < 16; i++) {
      o.q[i] = IQ4_NL_VALUES[b[2 + i] & 15];
      o.q[i + 16] = IQ4_NL_VALUES[b[2 + i] >> 4];
    }
  }
};

struct MXFP4 {
  static constexpr int BYTES = 17, MAX_Q = 24, ZERO = 12;
  static constexpr bool HAS_MIN = false;
  static inline void unpack(const uint8_t *b, SmallBlock &o) {
    o.d = half_e8m0(b[0]);
    for (int i = 0; i < 16; i++) {
      o.q[i] = MXFP4_VALUES[b[1 + i] & 15];
      o.q[i + 16] = MXFP4_VALUES[b[1 + i] >> 4];
    }
  }
};

struct Q2_K {
  static constexpr int BYTES = 84, SUB = 16, MAX_Q = 3, ZERO = 0;
  static constexpr bool HAS_MIN = true;
  static inline void unpack(const uint8_t *b, SuperBlock &o) {
    for (int s = 0; s < 16; s++) {
      o.scale[s] = b[s] & 15;
      o.min[s] = b[s] >> 4;
    }
    const uint8_t *q = b + 16;
    for (int half = 0; half < 2; half++)
      for (int j = 0; j < 4; j++)
        for (int l = 0; l < 32; l++) o.q[half * 128 + j * 32 + l] = q[half * 32 + l] >> (2 * j) & 3;
    o.d = load_half(b + 80);
    o.dmin = load_half(b + 82);
  }
};

struct Q3_K {
  static constexpr int BYTES = 110, SUB = 16, MAX_Q = 7, ZERO = 4;
  static constexpr bool HAS_MIN = false;
  static inline void unpack(const uint8_t *b, SuperBlock &o) {
    const uint8_t *high = b, *q = b + 32, *scales = b + 96;
    for (int s = 0; s < 16; s++) {
      const int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
      const int top = scales[8 + s % 4] >> (2 * (s / 4)) & 3;
      o.scale[s] = (int16_t)((low | top << 4) - 32);
    }
    for (int half = 0; half < 2; half++)
      for (int j = 0; j < 4; j++)
        for (int l = 0; l < 32; l++)
          o.q[half * 128 + j * 32 + l] =
              (uint8_t)((q[half * 32 + l] >> (2 * j) & 3) | (high[l] >> (half * 4 + j) & 1) << 2);
    o.d = load_half(b + 108);
  }
};

/* Six-bit scales and mins of Q4_K and Q5_K: eight of each in twelve bytes. */
static inline void unpack_k4_scales(const uint8_t *s, int16_t *scale, int16_t *min) {
  for (int j = 0; j < 4; j++) {
    scale[j] = s[j] & 63;
    min[j] = s[j + 4] & 63;
    scale[j + 4] = (int16_t)((s[j + 8] & 15) | (s[j] >> 6) << 4);
    min[j + 4] = (int16_t)(s[j + 8] >> 4 | (s[j + 4] >> 6) << 4);
  }
}

struct Q4_K {
  static constexpr int BYTES = 144, SUB = 32, MAX_Q = 15, ZERO = 0;
  static constexpr bool HAS_MIN = true;
  static inline void unpack(const uint8_t *b, SuperBlock &o) {
    o.d = load_half(b);
    o.dmin = load_half(b + 2);
    unpack_k4_scales(b + 4, o.scale, o.min);
    const uint8_t *q = b + 16;
    for (int c = 0; c < 4; c++)
      for (int l = 0; l < 32; l++) {
        o.q[c * 64 + l] = q[c * 32 + l] & 15;
        o.q[c * 64 + 32 + l] = q[c * 32 + l] >> 4;
      }
  }
};

struct Q5_K {
  static constexpr int BYTES = 176, SUB = 32, MAX_Q = 31, ZERO = 0;
  static constexpr bool HAS_MIN = true;
  static inline void unpack(const uint8_t *b, SuperBlock &o) {
    o.d = load_half(b);
    o.dmin = load_half(b + 2);
    unpack_k4_scales(b + 4, o.scale, o.min);
    const uint8_t *high = b + 16, *q = b + 48;
    for (int c = 0; c < 4; c++)
      for (int l = 0; l < 32; l++) {
        o.q[c * 64 + l] = (uint8_t)((q[c * 32 + l] & 15) | (high[l] >> (2 * c) & 1) << 4);
        o.q[c * 64 + 32 + l] = (uint8_t)(q[c * 32 + l] >> 4 | (high[l] >> (2 * c + 1) & 1) << 4);
      }
  }
};

struct Q6_K {
  static constexpr int BYTES = 210, SUB = 16, MAX_Q = 63, ZERO = 32;
  static constexpr bool HAS_MIN = false;
  static inline void unpack(const uint8_t *b, SuperBlock &o) {
    for (int half = 0; half < 2; half++) {
      const uint8_t *low = b + half * 64, *high = b + 128 + half * 32;
      uint8_t *q = o.q + half * 128;
      for (int l = 0; l < 32; l++) {
        q[l] = (uint8_t)((low[l] & 15) | (high[l] & 3) << 4);
        q[l + 32] = (uint8_t)((low[l + 32] & 15) | (high[l] >> 2 & 3) << 4);
        q[l + 64] = (uint8_t)(low[l] >> 4 | (high[l] >> 4 & 3) << 4);
        q[l + 96] = (uint8_t)(low[l + 32] >> 4 | (high[l] >> 6) << 4);
      }
    }
    for (int s = 0; s < 16; s++) o.scale[s] = (int8_t)b[192 + s];
    o.d = load_half(b + 208);
  }
};

} // namespace
