/* Experts whose matrices land while the kernel runs, as from flash. */
#pragma once
#include "../../kernels/include/pocketmoe_kernels.h"
#include "span.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <thread>

/* Jobs with state words over given matrices (gate, up, down of each job). */
class ExpertLandings {
public:
  enum Words { ONE, THREE };

  ExpertLandings(const std::vector<pm_expert_job> &jobs, const std::vector<Bytes> &matrices, Words words)
      : jobs(jobs), matrices_(matrices), words_(words), states_(new int32_t[matrices.size()]()) {
    for (const Bytes &m : matrices_) places_.emplace_back(Bytes(m.size(), 0xff), Span::WEIGHTS);
    for (size_t j = 0; j < jobs.size(); j++) {
      pm_expert_job &job = this->jobs[j];
      job.gate = places_[3 * j].address();
      job.up = places_[3 * j + 1].address();
      job.down = places_[3 * j + 2].address();
      job.gate_ready = word(3 * j);
      job.up_ready = word(3 * j + 1);
      job.down_ready = word(3 * j + 2);
    }
  }

  void land_all() {
    for (size_t m = matrices_.size(); m-- > 0;) land(m, 1);
  }

  /* Lets matrix m land, or fail when value < 0. A word shared by three is published with the first of them. */
  void land(size_t m, int32_t value) {
    if (value > 0) memcpy(places_[m].data(), matrices_[m].data(), matrices_[m].size());
    if (words_ == ONE && m % 3 != 0) return;
    int32_t *state = &states_[words_ == ONE ? m / 3 * 3 : m];
    __atomic_store_n(state, value, __ATOMIC_RELEASE);
    syscall(SYS_futex, state, FUTEX_WAKE_PRIVATE, 0x7fffffff, nullptr, nullptr, 0);
  }

  /* Lets them land one by one from another thread, the last first; `failing` (or none, -1) fails. */
  std::thread start(int failing = -1) {
    return std::thread([this, failing] {
      for (size_t m = matrices_.size(); m-- > 0;) {
        const timespec pause = {0, 200000};
        nanosleep(&pause, nullptr);
        land(m, (int)m == failing ? -5 : 1);
      }
    });
  }

  std::vector<pm_expert_job> jobs;

private:
  uint64_t word(size_t m) const { return (uint64_t)(uintptr_t)&states_[words_ == ONE ? m / 3 * 3 : m]; }

  const std::vector<Bytes> &matrices_;
  Words words_;
  std::unique_ptr<int32_t[]> states_;
  std::vector<Span> places_;
};
