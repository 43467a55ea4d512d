/* 16-bit floats in plain integer code. Everything is static: this header is compiled once per instruction set. */
#pragma once
#include <stdint.h>
#include <string.h>

static inline float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

/* IEEE binary16 to binary32, exact. */
static inline float half_to_float(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
  const uint32_t magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) return float_of_bits(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  if (magnitude >= 0x0400u) return float_of_bits(sign | ((magnitude << 13) + 0x38000000u));
  /* Subnormal: magnitude * 2^-24, which float32 holds exactly. */
  const float value = (float)magnitude * 5.9604644775390625e-8f;
  return float_of_bits(sign | bits_of_float(value));
}

/* binary32 to binary16, round to nearest even; overflow becomes infinity. */
static inline uint16_t float_to_half(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu));
  if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
  if (magnitude >= 0x38800000u) {
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
  }
  /* Adding 0.5 moves the last bit of a half subnormal (2^-24) to the last bit of the float. */
  const float shifted = float_of_bits(magnitude) + 0.5f;
  return (uint16_t)(sign | (bits_of_float(shifted) - 0x3f000000u));
}

static inline float bfloat_to_float(uint16_t b) { return float_of_bits((uint32_t)b << 16); }

static inline uint16_t load_u16(const uint8_t *p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}

static inline uint32_t load_u32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

static inline float load_half(const uint8_t *p) { return half_to_float(load_u16(p)); }
