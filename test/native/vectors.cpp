/* Compares the native library with the reference's results, without Node: on other CPUs, under emulators and
 * sanitizers.
 *
 *   vectors FILE [ISA]
 *   vectors --isa        prints the instruction set in use
 *
 * FILE comes from write-vectors.ts. Each vector runs with one and with three threads, which must give the same bits.
 * With ISA, fails unless that is the instruction set in use. Prints each failure, then how many checks there were. */
#include "../../kernels/include/pocketmoe_kernels.h"
#include "closeness.h"
#include "flash_checks.h"
#include "kernel_calls.h"
#include "route_checks.h"

#include <exception>

namespace {

int passed = 0, failed = 0;

void report(const std::string &name, const std::string &wrong) {
  (wrong.empty() ? passed : failed)++;
  if (!wrong.empty()) {
    printf("failed: %s: %s\n", name.c_str(), wrong.c_str());
    fflush(stdout);
  }
}

std::string check(const Vector &v, const std::vector<pm_pool *> &pools) {
  Bytes first;
  for (pm_pool *pool : pools) {
    Span out(v.before, Span::NUMBERS);
    if (const std::string wrong = KernelCall::run(v, pool, out); !wrong.empty()) return wrong;
    if (pool == pools[0]) first = out.copy();
    else if (out.copy() != first) return "other bits with more threads";
  }
  return Closeness::compare(v, first);
}

int run(const char *path, const char *isa) {
  if (pm_kernels_abi() != PM_KERNELS_ABI || pm_flash_abi() != PM_FLASH_ABI) {
    printf("failed: the library has another interface\n");
    return 1;
  }
  if (isa && strcmp(isa, pm_isa()) != 0) {
    printf("failed: %s is in use instead of %s\n", pm_isa(), isa);
    return 1;
  }
  const std::vector<Vector> vectors = VectorFile::read(path);
  const std::vector<pm_pool *> pools = {pm_pool_create(1), pm_pool_create(3)};
  if (!pools[0] || !pools[1]) {
    printf("failed: no threads\n");
    return 1;
  }
  for (const Vector &v : vectors) report(v.name, check(v, pools));
  for (pm_pool *pool : pools) pm_pool_destroy(pool);
  for (const Check &c : RouteChecks::all()) report(c.name, c.run());
  for (const Check &c : FlashChecks::all()) report(c.name, c.run());
  printf("%s: %d passed, %d failed\n", pm_isa(), passed, failed);
  return failed == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: vectors FILE [ISA] | vectors --isa\n");
    return 2;
  }
  if (strcmp(argv[1], "--isa") == 0) {
    printf("%s\n", pm_isa());
    return 0;
  }
  try {
    return run(argv[1], argc > 2 ? argv[2] : nullptr);
  } catch (const std::exception &error) {
    printf("failed: %s: %s\n", argv[1], error.what());
    return 1;
  }
}
