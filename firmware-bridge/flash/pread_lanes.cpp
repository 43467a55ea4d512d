/* One thread per lane, each with one positional read in the kernel at a time. */
#include "lane_thread.h"
#include "lanes.h"

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

  void wake(int32_t count) override {
    int32_t idle;
    {
      const std::lock_guard lock(traffic_.mutex);
      idle = idle_;
    }
    if (count >= idle) {
      if (idle > 0) work_.notify_all();
    } else {
      while (count-- > 0) work_.notify_one();
    }
  }

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

  void run(int32_t index) {
    ReadJob job;
    std::unique_lock lock(traffic_.mutex);
    while (index < target_) {
      if (traffic_.begin(&job)) {
        lock.unlock();
        transfer(job);
        traffic_.finish(&job);
        lock.lock();
      } else {
        idle_++;
        work_.wait(lock);
        idle_--;
      }
    }
    lanes_[size_t(index)].running = false;
  }

  Traffic &traffic_;
  std::condition_variable work_; /* with traffic_.mutex */
  std::array<Lane, PM_FLASH_MAX_LANES> lanes_;
  int32_t target_ = 0; /* lanes at and beyond this leave */
  int32_t idle_ = 0;
};

}  // namespace

std::unique_ptr<Lanes> make_pread_lanes(Traffic &traffic, int32_t lanes) {
  auto pool = std::make_unique<PreadLanes>(traffic);
  if (!pool->start(lanes)) return nullptr;
  return pool;
}

}  // namespace pocketmoe::flash
