/* Picks the instruction set. */
#include "exports.h"
#include "isa.h"
#include "simd_tables.h"

#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace pm {

#define PM_TABLE(name, space) {name, &space::matmul_table, &space::vector_table, &space::attention_table}

struct Candidate {
  Isa isa;
  bool (*supported)();
};

/* Best first. */
static const Candidate CANDIDATES[] = {
#if defined(__x86_64__)
    {PM_TABLE("avx512", avx512),
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi2");
     }},
    {PM_TABLE("avx2", avx2),
     [] {
       /* Every CPU with AVX2 and FMA converts half floats as well. */
       return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
     }},
#elif defined(__aarch64__)
    {PM_TABLE("neon-dotprod", neon_dotprod),
     [] {
       constexpr unsigned long FPHP = 1ul << 9, ASIMDHP = 1ul << 10, ASIMDDP = 1ul << 20;
       const unsigned long have = getauxval(AT_HWCAP);
       return (have & FPHP) && (have & ASIMDHP) && (have & ASIMDDP);
     }},
    {PM_TABLE("neon", neon), [] { return true; }},
#endif
    {PM_TABLE("portable", portable), [] { return true; }},
};

static const Isa *choose() {
  const char *wanted = getenv("POCKETMOE_ISA");
  const Isa *best = nullptr;
  for (const Candidate &c : CANDIDATES) {
    if (!c.supported()) continue;
    if (wanted && strcmp(wanted, c.isa.name) == 0) return &c.isa;
    if (!best) best = &c.isa;
  }
  return best;
}

const Isa &isa() {
  static const Isa *chosen = choose();
  return *chosen;
}

} // namespace pm

const char *pm_isa(void) { return pm::isa().name; }
int32_t pm_kernels_abi(void) { return PM_KERNELS_ABI; }
