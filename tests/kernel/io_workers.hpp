// Which work the kernel hands to its io-wq threads: they are threads of this process, named "iou-wrk-...".
#pragma once

#include "fixture.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <utility>

namespace kernel_test {

/// Name of every thread of this process by its number.
inline std::map<std::string, std::string> list_threads() {
    std::map<std::string, std::string> threads;
    std::error_code vanished;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", vanished)) {
        std::string name;
        std::getline(std::ifstream(task.path() / "comm"), name);
        threads.emplace(task.path().filename(), name);
    }
    return threads;
}

inline std::size_t count_threads() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        std::size_t count = 0;
        if (word == "Threads:" && status >> count) return count;
    }
    FAIL("/proc/self/status does not tell the number of threads");
    return 0;
}

inline std::set<std::string> io_workers() {
    // A thread that exits while the list is read cuts it short: believe only what is seen twice and counts
    // right.
    const deadline limit;
    auto threads = list_threads();
    for (auto again = list_threads(); again != threads || again.size() != count_threads();
         again = list_threads()) {
        limit.check("a list of all threads");
        threads = std::move(again);
    }
    std::set<std::string> workers;
    for (const auto& [number, name] : threads) {
        if (name.starts_with("iou-wrk-")) workers.insert(number);
    }
    return workers;
}

/// How many io-wq threads the kernel started for what `function` does with a ring. They belong to the thread
/// that submitted, so only a fresh one shows them all; and they may end with its last ring, so the ring
/// outlives the count.
template <class Function>
std::size_t io_workers_started_by(Function function, unsigned ring_flags = ring::deferred) {
    return on_a_fresh_thread([&] {
        ring r(ring_flags);
        const auto before = io_workers();
        function(r);
        auto started = io_workers();
        std::erase_if(started, [&](const auto& worker) { return before.contains(worker); });
        return started.size();
    });
}

} // namespace kernel_test
