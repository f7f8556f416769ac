// Two executors that take turns on one thread, as within another loop. On the simulated kernel too.
#pragma once

#include "../support.hpp"
#include "steps.hpp"

#include <poll.h>

#include <algorithm>
#include <functional>
#include <optional>

namespace chainring::test {

class two_executors {
  public:
    executor here{{}, test_kernel()};
    std::optional<executor> second{std::in_place, executor_options{}, test_kernel()};
    executor& there = *second;

    two_executors() {
        (void)here.native_handle(); // they are this thread's from here on
        (void)there.native_handle();
    }

    // Until `done()` holds.
    void run_until(const std::function<bool()>& done) {
        while (!done()) {
            const bool more = here.pump();
            const bool more_there = second && second->pump();
            if (!more && !more_there && !done()) wait();
        }
    }

    // Runs `root` here to its end.
    template <class T> T run(task<T> root) {
        std::optional<ended_task<T>> ended;
        spawn(here, std::move(root), [&ended](ended_task<T> end) { ended.emplace(std::move(end)); });
        run_until([&ended] { return ended.has_value(); });
        run_until([this] { return here.stats().pending_closes == 0; });
        if (!*ended) std::rethrow_exception(ended->error());
        if constexpr (!std::is_void_v<T>) return std::move(**ended);
    }

    void check_baselines() {
        check_baseline(here);
        if (second) check_baseline(*second);
    }

  private:
    void wait() {
        std::optional<time_point> next = here.next_deadline();
        if (second)
            if (const auto other = second->next_deadline()) next = next ? std::min(*next, *other) : other;
        if (sim::world* const world = shared_test_kernel().world()) {
            auto& simulation = *simulated_test_kernel();
            const bool signalled = simulation.signalled(here.native_handle()) ||
                                   (second && simulation.signalled(second->native_handle()));
            if (signalled) return;
            if (!next) FAIL("both wait for ever");
            world->pass(std::max(*next - world->now(), duration::zero()));
            return;
        }
        pollfd handles[] = {{here.native_handle(), POLLIN, 0}, {-1, POLLIN, 0}};
        if (second) handles[1].fd = second->native_handle();
        std::chrono::milliseconds most{30'000};
        if (next)
            most = std::clamp(
                std::chrono::ceil<std::chrono::milliseconds>(*next - std::chrono::steady_clock::now()),
                std::chrono::milliseconds(0), most);
        if (::poll(handles, 2, static_cast<int>(most.count())) == 0 && !next) FAIL("nobody was woken");
    }
};

} // namespace chainring::test
