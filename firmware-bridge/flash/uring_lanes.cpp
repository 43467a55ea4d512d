/* One thread that keeps up to `lanes` reads in an io_uring. */
#include "lanes.h"
#include "uring.h"

#ifdef PM_HAVE_URING
#include "lane_thread.h"

#include <array>
#include <cerrno>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace pocketmoe::flash {
namespace {

class UringLanes final : public Lanes {
 public:
  UringLanes(Traffic &traffic, int32_t lanes) : traffic_(traffic), target_(lanes) {}

  ~UringLanes() override {
    if (thread_.joinable()) {
      {
        const std::lock_guard lock(traffic_.mutex);
        stopping_ = true;
      }
      knock();
      thread_.join();
    }
    if (event_ >= 0) close(event_);
  }

  bool start() {
    event_ = eventfd(0, EFD_CLOEXEC);
    return event_ >= 0 && ring_.open(ring_entries) == 0 && start_lane_thread(thread_, 0, [this] { run(); });
  }

  void resize(int32_t lanes) override {
    {
      const std::lock_guard lock(traffic_.mutex);
      target_ = lanes;
    }
    knock();
  }

  /* Awake, the thread looks at the queue again before it sleeps. */
  bool needs_wake() override { return std::exchange(listening_, false); }

  void wake() override { knock(); }

 private:
  enum class Stage { free, delayed, reading, over };
  struct Slot {
    ReadJob job;
    Stage stage = Stage::free;
    __kernel_timespec delay;
  };
  /* As many again as lanes: while reads that are over get checked, the next ones are already in the ring. */
  static constexpr size_t slot_count = 2 * PM_FLASH_MAX_LANES;
  static constexpr unsigned ring_entries = 256; /* every slot and the event fit at once */
  static constexpr uint64_t event_tag = ~uint64_t(0);
  static constexpr int most_retries = 1000;

  void knock() {
    const uint64_t one = 1;
    while (write(event_, &one, sizeof one) < 0 && errno == EINTR) {
    }
  }

  void listen() {
    io_uring_sqe *entry = ring_.next();
    entry->opcode = IORING_OP_READ;
    entry->fd = event_;
    entry->addr = reinterpret_cast<uint64_t>(&event_count_);
    entry->len = sizeof event_count_;
    entry->off = ~uint64_t(0); /* the event has no position */
    entry->user_data = event_tag;
  }

  void submit_read(size_t index) {
    Slot &slot = slots_[index];
    slot.stage = Stage::reading;
    io_uring_sqe *entry = ring_.next();
    entry->opcode = IORING_OP_READ;
    entry->fd = slot.job.fd;
    entry->addr = reinterpret_cast<uint64_t>(slot.job.target());
    entry->len = uint32_t(slot.job.transfer_length());
    entry->off = uint64_t(slot.job.file_offset());
    entry->user_data = index;
  }

  void submit_delay(size_t index) {
    Slot &slot = slots_[index];
    slot.stage = Stage::delayed;
    slot.delay.tv_sec = slot.job.fault.delay_us / 1'000'000;
    slot.delay.tv_nsec = slot.job.fault.delay_us % 1'000'000 * 1000;
    io_uring_sqe *entry = ring_.next();
    entry->opcode = IORING_OP_TIMEOUT;
    entry->addr = reinterpret_cast<uint64_t>(&slot.delay);
    entry->len = 1;
    entry->user_data = index;
  }

  /* Moves reads from the queue into free slots. The caller holds the mutex. */
  void fill() {
    for (size_t i = 0; i < slot_count && active_ < target_ && !stopping_; i++) {
      Slot &slot = slots_[i];
      if (slot.stage != Stage::free) continue;
      if (!traffic_.begin(&slot.job)) break;
      if (slot.job.error != 0) {
        slot.stage = Stage::over;
        over_++;
        traffic_.land();
        continue;
      }
      active_++;
      if (slot.job.fault.delay_us > 0)
        submit_delay(i);
      else
        submit_read(i);
    }
  }

  /* The caller holds the mutex. */
  void completed(size_t index, int32_t result) {
    Slot &slot = slots_[index];
    if (slot.stage == Stage::delayed) {
      submit_read(index);
      return;
    }
    /* A kernel short of memory asks to try again; not for ever. */
    if (result == -EAGAIN && retries_++ < most_retries) result = -EINTR;
    if (slot.job.advance(result)) {
      submit_read(index);
      return;
    }
    slot.stage = Stage::over;
    active_--;
    over_++;
    traffic_.land();
  }

  void finish_all() {
    for (size_t i = 0; over_ > 0 && i < slot_count; i++) {
      if (slots_[i].stage != Stage::over) continue;
      traffic_.finish(&slots_[i].job);
      slots_[i].stage = Stage::free;
      over_--;
    }
    retries_ = 0;
  }

  void run() {
    listen();
    bool listening = true; /* an event read is in the ring */
    for (;;) {
      bool leave;
      {
        const std::lock_guard lock(traffic_.mutex);
        fill();
        listening_ = over_ == 0 && active_ < target_;
        leave = stopping_ && active_ == 0 && over_ == 0 && !listening;
      }
      if (leave) return;
      /* With reads to check, hand over the new ones first and check while they are under way. */
      const int error = ring_.enter(over_ > 0 ? 0 : 1);
      if (error != 0 && error != -EINTR) usleep(100); /* EAGAIN, EBUSY: the kernel catches up */
      if (over_ > 0) finish_all();

      uint64_t tag;
      int32_t result;
      const std::lock_guard lock(traffic_.mutex);
      while (ring_.reap(&tag, &result)) {
        if (tag != event_tag) {
          completed(size_t(tag), result);
        } else {
          /* When stopping, the event must not stay in the ring: it writes into this object. */
          listening = !stopping_;
          if (listening) listen();
        }
      }
    }
  }

  Traffic &traffic_;
  Uring ring_;
  std::thread thread_;
  int event_ = -1;
  uint64_t event_count_ = 0;
  /* With the mutex. */
  int32_t target_;
  bool stopping_ = false;
  bool listening_ = false; /* asleep with a lane free: queued reads must knock */
  /* The thread's own. */
  std::array<Slot, slot_count> slots_;
  int32_t active_ = 0; /* slots delayed or reading */
  int32_t over_ = 0;
  int retries_ = 0;
};

}  // namespace

std::unique_ptr<Lanes> make_uring_lanes(Traffic &traffic, int32_t lanes) {
  auto ring = std::make_unique<UringLanes>(traffic, lanes);
  if (!ring->start()) return nullptr;
  return ring;
}

}  // namespace pocketmoe::flash

#else
namespace pocketmoe::flash {
std::unique_ptr<Lanes> make_uring_lanes(Traffic &, int32_t) { return nullptr; }
}  // namespace pocketmoe::flash
#endif
