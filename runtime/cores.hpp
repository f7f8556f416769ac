// The cores that this process may use, and threads that stay on one of them.
#pragma once

#include <sched.h>

#include <filesystem>
#include <optional>
#include <vector>

namespace chainring {

// How many cores' worth of time the process gets: of its CPU affinity, and of the CPU quotas of its control groups (v2 and v1), as a
// container has them, rounded up. At least 1.
unsigned usable_cores();

// Their numbers, as the affinity of the calling thread has them.
std::vector<unsigned> cores_of_this_thread();

// The smallest quota of a process's control groups and those above them, in cores; nothing: there is none. `root` is where the
// files of the system are, "/proc/self/cgroup" and so on.
std::optional<double> cpu_quota(const std::filesystem::path& root = "/");

// Keeps the thread that makes it on one core, until it ends. Throws std::system_error for a core that is not there, or that the
// process may not use.
class pinned_thread {
  public:
    explicit pinned_thread(unsigned core);
    ~pinned_thread();
    pinned_thread(const pinned_thread&) = delete;
    pinned_thread& operator=(const pinned_thread&) = delete;

  private:
    cpu_set_t before_;
};

} // namespace chainring
