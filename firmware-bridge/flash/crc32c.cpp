/* CRC32C (Castagnoli), reflected polynomial 0x82F63B78; RFC 3720, appendix B.4 has test vectors.
 *
 * The CRC instruction has a latency of three cycles and a throughput of one, so a single chain reaches a third
 * of what the unit can do. Three independent chains over adjacent blocks fill it; their registers are joined by
 * advancing the earlier one over the later block's length, which is a linear map and four table look-ups.
 */
#include "crc32c.h"

#include "pocketmoe_flash.h"

#include <array>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define PM_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define PM_CRC_TARGET __attribute__((target("+crc")))
#endif

namespace pocketmoe::flash {
namespace {

constexpr uint32_t polynomial = 0x82F63B78u;

using ByteTables = std::array<std::array<uint32_t, 256>, 8>;

/* tables[k][b]: what byte b does to the register when k more bytes follow it in the same step. */
constexpr ByteTables make_byte_tables() {
  ByteTables tables{};
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t r = b;
    for (int bit = 0; bit < 8; bit++) r = (r >> 1) ^ (r & 1 ? polynomial : 0);
    tables[0][b] = r;
  }
  for (size_t k = 1; k < 8; k++)
    for (size_t b = 0; b < 256; b++) tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 255];
  return tables;
}
constexpr ByteTables byte_tables = make_byte_tables();

/* A register as 32 little-endian bytes would be read on any machine. */
inline uint32_t load32(const uint8_t *p) {
  return uint32_t(p[0]) | uint32_t(p[1]) << 8 | uint32_t(p[2]) << 16 | uint32_t(p[3]) << 24;
}

uint32_t portable(uint32_t r, const uint8_t *p, size_t n) {
  const auto &t = byte_tables;
  for (; n >= 8; n -= 8, p += 8) {
    const uint32_t a = r ^ load32(p), b = load32(p + 4);
    r = t[7][a & 255] ^ t[6][a >> 8 & 255] ^ t[5][a >> 16 & 255] ^ t[4][a >> 24] ^ t[3][b & 255] ^
        t[2][b >> 8 & 255] ^ t[1][b >> 16 & 255] ^ t[0][b >> 24];
  }
  for (; n > 0; n--, p++) r = (r >> 8) ^ t[0][(r ^ *p) & 255];
  return r;
}

#ifdef PM_CRC_TARGET
/* A linear map of the register, by its images of the 32 unit vectors. */
using BitMatrix = std::array<uint32_t, 32>;

constexpr uint32_t apply(const BitMatrix &m, uint32_t v) {
  uint32_t r = 0;
  for (size_t i = 0; v != 0; i++, v >>= 1)
    if (v & 1) r ^= m[i];
  return r;
}

using AdvanceTables = std::array<std::array<uint32_t, 256>, 4>;

/* Tables that advance a register over `bytes` zero bytes; `bytes` is a power of two. */
constexpr AdvanceTables make_advance_tables(size_t bytes) {
  BitMatrix m{};
  m[0] = polynomial; /* one zero bit: shift right, reduce */
  for (size_t i = 1; i < 32; i++) m[i] = 1u << (i - 1);
  for (size_t bits = 1; bits < bytes * 8; bits *= 2) {
    BitMatrix squared{};
    for (size_t i = 0; i < 32; i++) squared[i] = apply(m, m[i]);
    m = squared;
  }
  AdvanceTables tables{};
  for (size_t k = 0; k < 4; k++)
    for (uint32_t b = 0; b < 256; b++) tables[k][b] = apply(m, b << (8 * k));
  return tables;
}

inline uint32_t advance(const AdvanceTables &t, uint32_t r) {
  return t[0][r & 255] ^ t[1][r >> 8 & 255] ^ t[2][r >> 16 & 255] ^ t[3][r >> 24];
}

constexpr size_t long_block = 8192, short_block = 256;
constexpr AdvanceTables over_long = make_advance_tables(long_block);
constexpr AdvanceTables over_short = make_advance_tables(short_block);

inline uint64_t load64(const uint8_t *p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}

#if defined(__x86_64__)
PM_CRC_TARGET inline uint64_t step8(uint64_t r, uint64_t v) { return _mm_crc32_u64(r, v); }
PM_CRC_TARGET inline uint32_t step1(uint32_t r, uint8_t v) { return _mm_crc32_u8(r, v); }
bool have_instruction() { return __builtin_cpu_supports("sse4.2"); }
#else
PM_CRC_TARGET inline uint64_t step8(uint64_t r, uint64_t v) { return __crc32cd(uint32_t(r), v); }
PM_CRC_TARGET inline uint32_t step1(uint32_t r, uint8_t v) { return __crc32cb(r, v); }
bool have_instruction() { return (getauxval(AT_HWCAP) & (1ul << 7)) != 0; /* HWCAP_CRC32 */ }
#endif

PM_CRC_TARGET uint32_t three_blocks(uint32_t r, const uint8_t *p, size_t block, const AdvanceTables &over) {
  uint64_t a = r, b = 0, c = 0;
  for (size_t i = 0; i < block; i += 8) {
    a = step8(a, load64(p + i));
    b = step8(b, load64(p + block + i));
    c = step8(c, load64(p + 2 * block + i));
  }
  return advance(over, advance(over, uint32_t(a)) ^ uint32_t(b)) ^ uint32_t(c);
}

PM_CRC_TARGET uint32_t hardware(uint32_t r, const uint8_t *p, size_t n) {
  for (; n >= 3 * long_block; n -= 3 * long_block, p += 3 * long_block) r = three_blocks(r, p, long_block, over_long);
  for (; n >= 3 * short_block; n -= 3 * short_block, p += 3 * short_block)
    r = three_blocks(r, p, short_block, over_short);
  for (; n >= 8; n -= 8, p += 8) r = uint32_t(step8(r, load64(p)));
  for (; n > 0; n--, p++) r = step1(r, *p);
  return r;
}
#endif

using Implementation = uint32_t (*)(uint32_t, const uint8_t *, size_t);

Implementation choose() {
#ifdef PM_CRC_TARGET
  /* The variable that forces the portable kernels forces this one too, so that tests reach it. */
  const char *isa = std::getenv("POCKETMOE_ISA");
  if ((!isa || std::strcmp(isa, "portable") != 0) && have_instruction()) return hardware;
#endif
  return portable;
}

}  // namespace

uint32_t crc32c(uint32_t crc, const void *bytes, size_t length) {
  static const Implementation run = choose();
  return ~run(~crc, static_cast<const uint8_t *>(bytes), length);
}

}  // namespace pocketmoe::flash

extern "C" uint32_t pm_crc32c(uint32_t crc, const void *bytes, size_t length) {
  return pocketmoe::flash::crc32c(crc, bytes, length);
}
