// Another loop around an executor: a poll(2) that is told of the executor's handle and of its next deadline. On the simulated
// kernel, where a wait takes no time, a loop of its own.
#pragma once

#include "kernel_under_test.hpp"

#include <chainring/runtime/spawn.hpp>

#include <catch2/catch_test_macros.hpp>
#include <poll.h>

#include <chrono>
#include <functional>

namespace chainring::test {

class host_loop {
  public:
    explicit host_loop(executor& within)
        : within_(within)
        , handle_(within.native_handle()) {}

    // Until `done()` holds. A wake-up that was lost fails the test.
    void run_until(const std::function<bool()>& done) {
        while (!done()) {
            if (!within_.pump() && !done()) wait(patience);
        }
    }

    // How often the handle has become readable although nothing was to be done, before it stays unreadable.
    unsigned come_to_rest() {
        unsigned spurious = 0;
        while (within_.pump() || is_readable()) ++spurious;
        return spurious;
    }
    bool is_readable() const { return poll_for(std::chrono::milliseconds(0)) == 1; }

  private:
    static constexpr std::chrono::milliseconds patience{30'000};

    int poll_for(std::chrono::milliseconds most) const {
        if (auto* const simulation = simulated_test_kernel()) return simulation->signalled(handle_) ? 1 : 0;
        pollfd handle{.fd = handle_, .events = POLLIN, .revents = 0};
        return ::poll(&handle, 1, static_cast<int>(most.count()));
    }
    void wait(std::chrono::milliseconds most) const {
        const std::optional<time_point> next = within_.next_deadline();
        if (!next) {
            if (poll_for(most) == 0) FAIL("the executor was not woken");
            return;
        }
        if (sim::world* const world = shared_test_kernel().world()) {
            if (!is_readable()) world->pass(std::max(*next - world->now(), duration::zero()));
            return;
        }
        const auto until =
            std::chrono::ceil<std::chrono::milliseconds>(*next - std::chrono::steady_clock::now());
        (void)poll_for(std::max(until, std::chrono::milliseconds(0)));
    }

    executor& within_;
    int handle_;
};

} // namespace chainring::test
