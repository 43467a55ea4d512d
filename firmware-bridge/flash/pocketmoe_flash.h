/* PocketMoE flash: asynchronous positional reads into aligned memory. Plain C interface, no dependencies.
 *
 * Every read has a state word (int32) owned by the caller: 0 pending, 1 landed and verified, < 0 failed:
 * -errno, or one of enum pm_flash_failure. The word is stored with release order after the last byte, then its
 * futex is woken (FUTEX_WAKE_PRIVATE, all waiters), so kernels may wait on it directly.
 */
#ifndef POCKETMOE_FLASH_H
#define POCKETMOE_FLASH_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* the library is compiled with -fvisibility=hidden */

#define PM_FLASH_ABI 1
#define PM_FLASH_MAX_LANES 64
#define PM_FLASH_MAX_QUEUED 65536

enum pm_flash_failure { PM_FLASH_SHORT = -10001, PM_FLASH_CORRUPT = -10002, PM_FLASH_CANCELLED = -10003 };
enum pm_flash_backend { PM_FLASH_PREAD = 0, PM_FLASH_URING = 1 };
enum pm_flash_priority { PM_FLASH_DEMAND = 0, PM_FLASH_PREFETCH = 1 };

typedef struct pm_flash pm_flash;

typedef struct pm_flash_read { /* 64 bytes */
  uint64_t dst;         /* where byte `offset` of the file lands */
  int64_t offset;       /* in the file; multiple of 4096 on a direct file */
  int64_t length;       /* bytes to read; may run past the end of file by less than 4096 (direct tail) */
  int64_t data_offset;  /* the wanted bytes begin at dst + data_offset ... */
  int64_t data_length;  /* ... and must all be inside the file: else PM_FLASH_SHORT */
  uint64_t state;       /* address of the int32 state word */
  int32_t file;         /* from pm_flash_open */
  int32_t priority;     /* enum pm_flash_priority; all demand reads go before any prefetch */
  uint32_t crc;         /* CRC32C of the wanted bytes */
  uint32_t check;       /* 1: compare crc, 0: no check */
} pm_flash_read;

typedef struct pm_flash_stats { /* cumulative since creation, 64 bytes */
  int64_t reads, bytes;         /* reads ended, failed ones included, and the bytes they moved */
  int64_t failed, cancelled, corrupt;
  int64_t busy_ns;              /* time with at least one read in flight */
  int64_t queued, in_flight;    /* now; a read whose checksum is being compared is in neither */
} pm_flash_stats;

int32_t pm_flash_abi(void);
/* lanes: reads in flight at most (1..64). 0 when threads or a ring cannot be made (uring: kernel refuses it). */
pm_flash *pm_flash_create(int32_t lanes, int32_t backend);
/* Cancels what is queued (state CANCELLED), waits for what is in flight, closes files. */
void pm_flash_destroy(pm_flash *flash);
/* direct 1: O_DIRECT, verified by one aligned read of the first block; when refused, buffered is used.
 * Buffered files drop what they read from the page cache (POSIX_FADV_DONTNEED) and disable read-ahead.
 * Returns a file id >= 0 or -errno. */
int32_t pm_flash_open(pm_flash *flash, const char *path, int32_t direct);
int32_t pm_flash_is_direct(const pm_flash *flash, int32_t file);
/* Queues reads; returns 0, or 1 + index of the first read with an impossible field, or -EAGAIN when more than
 * PM_FLASH_MAX_QUEUED would be queued, or -ENOMEM. Unless it returns 0, none is queued and no state word is touched.
 * The read structs are copied; a state word is set to 0 before its read is queued. */
int32_t pm_flash_submit(pm_flash *flash, const pm_flash_read *reads, int32_t count);
/* Cancels the queued read of this state word (state CANCELLED): 1 when it was still queued, 0 otherwise. */
int32_t pm_flash_cancel(pm_flash *flash, const int32_t *state);
/* Raises a queued prefetch to demand; 1 when found. */
int32_t pm_flash_promote(pm_flash *flash, const int32_t *state);
/* Blocks until the word is not 0 or timeout_ms passes (< 0: for ever); returns the word. Needs no pm_flash. */
int32_t pm_flash_wait(const int32_t *state, int32_t timeout_ms);
/* Drops a range of a file from the page cache (pages not yet written stay): 0 or -errno. */
int32_t pm_flash_drop(pm_flash *flash, int32_t file, int64_t offset, int64_t length);
/* Changes the number of lanes while running (clamped to 1..64). */
void pm_flash_set_lanes(pm_flash *flash, int32_t lanes);
void pm_flash_get_stats(const pm_flash *flash, pm_flash_stats *stats);
/* CRC32C (Castagnoli, RFC 3720 B.4) of bytes, continuing from `crc` (0 to begin). */
uint32_t pm_crc32c(uint32_t crc, const void *bytes, size_t length);
/* Fault injection for tests. kind 0 none; 1: read number `nth` (0-based, counted over all reads begun since
 * creation) ends with -EIO; 2: it comes back short; 3: one bit of it is flipped; 4: every read is delayed by a
 * pseudo-random 0..delay_us drawn from seed `nth`; 5: every read takes delay_us longer; 6: no transfer moves more
 * than `nth` bytes at once (rounded up to 4096 on a direct file), as if the device returned short. */
void pm_flash_inject(pm_flash *flash, int32_t kind, int64_t nth, int32_t delay_us);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
