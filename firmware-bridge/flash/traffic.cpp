#include "lanes.h"
#include "state_word.h"

#include <cerrno>
#include <ctime>

namespace pocketmoe::flash {
namespace {

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

bool Traffic::begin(ReadJob *job) {
  QueuedRead read;
  if (!queue.take(&read)) return false;
  *job = ReadJob{};
  job->request = read.request;
  job->fd = read.fd;
  job->direct = read.direct;
  job->number = begun++;
  job->fault = fault.for_read(job->number);
  if (job->fault.eio) job->error = -EIO;
  if (in_flight++ == 0) busy_since = now_ns();
  return true;
}

void Traffic::land() {
  if (--in_flight == 0) ended.busy_ns += now_ns() - busy_since;
}

void Traffic::finish(ReadJob *job) {
  const int32_t verdict = job->verdict();
  {
    const std::lock_guard lock(mutex);
    ended.reads++;
    ended.bytes += job->done;
    if (verdict < 0) ended.failed++;
    if (verdict == PM_FLASH_CORRUPT) ended.corrupt++;
  }
  /* From here on the memory belongs to the caller again. */
  publish(reinterpret_cast<int32_t *>(job->request.state), verdict);
  if (!job->direct && job->done > 0) drop_cached(job->fd, job->request.offset, job->done);
}

pm_flash_stats Traffic::stats() const {
  const std::lock_guard lock(mutex);
  pm_flash_stats stats = ended;
  if (in_flight > 0) stats.busy_ns += now_ns() - busy_since;
  stats.queued = queue.size();
  stats.in_flight = in_flight;
  return stats;
}

}  // namespace pocketmoe::flash
