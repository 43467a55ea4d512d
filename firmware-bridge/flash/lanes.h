#pragma once
#include "fault.h"
#include "flash_file.h"
#include "read_job.h"
#include "read_queue.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace pocketmoe::flash {

/* What the caller's side and the lanes share. */
struct Traffic {
  mutable std::mutex mutex; /* guards everything here */
  ReadQueue queue;
  std::vector<FlashFile> files;
  Fault fault;
  int64_t begun = 0;
  int64_t in_flight = 0; /* begun and not landed */
  int64_t busy_since = 0; /* ns; meaningful while in_flight > 0 */
  pm_flash_stats ended{}; /* queued and in_flight unused */

  /* Takes the next read for a lane; false when none is queued. The caller holds the mutex. */
  bool begin(ReadJob *job);
  /* One read's transfers are over: it is no longer in flight. The caller holds the mutex. */
  void land();
  /* Judges a read that landed, counts it, publishes its state and drops what it left in the page cache. Takes the
   * mutex. */
  void finish(ReadJob *job);
  pm_flash_stats stats() const;
};

/* Moves reads from the queue to memory, at most `lanes` at a time. The destructor waits for what is in flight and
 * takes no more. */
class Lanes {
 public:
  virtual ~Lanes() = default;
  /* Called without the mutex. */
  virtual void resize(int32_t lanes) = 0;
  /* After queueing, still with the mutex: true when wake() must follow. */
  virtual bool needs_wake() = 0;
  /* Called without the mutex, so that what wakes does not run into it. */
  virtual void wake() = 0;
};

/* Null when threads or a ring cannot be made. */
std::unique_ptr<Lanes> make_pread_lanes(Traffic &traffic, int32_t lanes);
std::unique_ptr<Lanes> make_uring_lanes(Traffic &traffic, int32_t lanes);

}  // namespace pocketmoe::flash
