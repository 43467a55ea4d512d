#pragma once
#include <csignal>
#include <cstdio>
#include <pthread.h>
#include <system_error>
#include <thread>
#include <utility>

namespace pocketmoe::flash {

/* Starts a named thread that receives no signals, so that the host's handlers never run on it. False when the
 * system has no thread to give. */
template <typename Body>
bool start_lane_thread(std::thread &thread, int index, Body &&body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    thread = std::thread(std::forward<Body>(body));
  } catch (const std::system_error &) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (started) {
    char name[16];
    std::snprintf(name, sizeof name, "pm-flash-%u", unsigned(index) % 100);
    pthread_setname_np(thread.native_handle(), name);
  }
  return started;
}

}  // namespace pocketmoe::flash
