// What tests of the runtime and of net/ share.
#pragma once

#include "build_kind.hpp"
#include "kernel_under_test.hpp"

#include <chainring/chainring.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <dirent.h>

namespace chainring::test {

// GENERATE(both_modes()): the test runs once in each task-work mode.
inline auto both_modes() {
    return Catch::Generators::values({task_work_mode::throughput, task_work_mode::latency});
}

inline executor_options options_for(task_work_mode mode) {
    executor_options options;
    options.ring.mode = mode;
    return options;
}

// What must be as it was once a test's tasks have ended.
inline void check_baseline(executor& used) {
    const statistics now = used.stats();
    CHECK(now.operations_in_flight == 0);
    CHECK(now.pending_closes == 0);
    CHECK(now.buffers_leased == 0);
    CHECK(now.descriptors_opened == now.descriptors_closed);
    CHECK(now.live_tasks == 0);
    for (const std::string& broken : used.broken_invariants()) FAIL_CHECK("broken invariant: " << broken);
    for (const std::string& held : used.holdings_report()) FAIL_CHECK("still held: " << held);
}

// For a local variable of a coroutine whose frame must not be forgotten.
struct counts_its_end {
    explicit counts_its_end(int& given)
        : count(given) {}
    ~counts_its_end() { ++count; }
    counts_its_end(const counts_its_end&) = delete;
    counts_its_end& operator=(const counts_its_end&) = delete;
    int& count;
};

inline std::size_t open_descriptors() {
    DIR* directory = ::opendir("/proc/self/fd");
    REQUIRE(directory != nullptr);
    std::size_t count = 0;
    while (::readdir(directory) != nullptr) ++count;
    ::closedir(directory);
    return count - 3; // ".", "..", and the directory itself
}

} // namespace chainring::test
