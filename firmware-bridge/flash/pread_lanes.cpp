/* One thread per lane, each with one positional read in the kernel at a time.
 *
 * Waking a thread costs microseconds, which the caller of submit has better uses for: submit wakes one lane, and every
 * lane that takes a read wakes up to two more while reads are left.
 */
#include "lane_thread.h"
#include "lanes.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <unistd.h>

namespace pocketmoe::flash {
namespace {

void transfer(ReadJob &job) {
  if (job.error != 0) return;
  if (job.fault.delay_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(job.fault.delay_us));
  ssize_t got;
  do {
    got = pread(job.fd, job.target(), job.transfer_length(), job.file_offset());
  } while (job.advance(got < 0 ? -errno : got));
}

class PreadLanes final : public Lanes {
 public:
  explicit PreadLanes(Traffic &traffic) : traffic_(traffic) {}

  ~PreadLanes() override {
    resize_to(0);
    for (Lane &lane : lanes_)
      if (lane.thread.joinable()) lane.thread.join();
  }

  void resize(int32_t lanes) override { resize_to(lanes); }

  /* False when not even one thread could be started. */
  bool start(int32_t lanes) { return resize_to(lanes) > 0; }

  bool needs_wake() override { return waking_ == 0 && claim(1) > 0; }

  void wake() override { work_.notify_one(); }

 private:
  struct Lane {
    std::thread thread;
    bool running = false;
  };

  int32_t resize_to(int32_t lanes) {
    int32_t running = 0;
    {
      const std::lock_guard lock(traffic_.mutex);
      target_ = lanes;
      for (int32_t i = 0; i < lanes; i++) {
        Lane &lane = lanes_[size_t(i)];
        if (!lane.running) {
          /* A lane that left earlier; it clears `running` last, so this does not wait for a read. */
          if (lane.thread.joinable()) lane.thread.join();
          lane.running = start_lane_thread(lane.thread, i, [this, i] { run(i); });
        }
        if (lane.running) running++;
      }
    }
    work_.notify_all();
    return running;
  }

  /* How many of at most `most` sleeping lanes to wake for the reads that are queued. */
  int32_t claim(int64_t most) {
    const int64_t count = std::max<int64_t>(std::min({most, traffic_.queue.size() - waking_, idle_ - waking_}), 0);
    waking_ += count;
    return int32_t(count);
  }

  void run(int32_t index) {
    ReadJob job;
    std::unique_lock lock(traffic_.mutex);
    while (index < target_) {
      if (traffic_.begin(&job)) {
        int32_t others = claim(2);
        lock.unlock();
        while (others-- > 0) work_.notify_one();
        transfer(job);
        lock.lock();
        traffic_.land();
        lock.unlock();
        traffic_.finish(&job);
        lock.lock();
      } else {
        idle_++;
        work_.wait(lock);
        idle_--;
        if (waking_ > 0) waking_--;
      }
    }
    /* It may have swallowed a wake-up that was meant for a read. */
    const bool pass_on = claim(1) > 0;
    lanes_[size_t(index)].running = false;
    if (pass_on) work_.notify_one();
  }

  Traffic &traffic_;
  std::condition_variable work_; /* with traffic_.mutex */
  std::array<Lane, PM_FLASH_MAX_LANES> lanes_;
  int32_t target_ = 0; /* lanes at and beyond this leave */
  int64_t idle_ = 0;   /* lanes asleep, those being woken included */
  int64_t waking_ = 0; /* wake-ups sent, not yet arrived */
};

}  // namespace

std::unique_ptr<Lanes> make_pread_lanes(Traffic &traffic, int32_t lanes) {
  auto pool = std::make_unique<PreadLanes>(traffic);
  if (!pool->start(lanes)) return nullptr;
  return pool;
}

}  // namespace pocketmoe::flash
