// Several executors, each on a thread of its own: what primitives are shared by.
#pragma once

#include "../support.hpp"

#include <atomic>
#include <concepts>
#include <latch>
#include <thread>
#include <vector>

namespace chainring::test {

// Goes on when all that could run have run, and a few tasks that they spawned.
inline task<> everybody_waits() {
    for (int step = 0; step < 32; ++step) co_await yield();
}

// Runs `make(number)`, a task<>, on each of `count` executors at a time, and ends with the last. Catch2's checks are for one
// thread: what the tasks find wrong they count.
template <std::invocable<int> Make> void on_executors(int count, Make make) {
    std::atomic<int> unclean = 0;
    std::latch all_are_there(count);
    {
        std::vector<std::jthread> threads;
        for (int number = 0; number < count; ++number)
            threads.emplace_back([&unclean, &all_are_there, &make, number] {
                executor used({}, test_kernel());
                all_are_there.arrive_and_wait(); // or one would have ended before the next begins
                used.run(make(number));
                const statistics now = used.stats();
                if (now.live_tasks != 0 || !used.holdings_report().empty() ||
                    !used.broken_invariants().empty())
                    ++unclean;
            });
    }
    CHECK(unclean == 0);
}

// Where a place is taken for a while, and others would come in if they could.
class guarded_place {
  public:
    void enter() noexcept {
        if (++inside_ != 1) ++wrong_;
    }
    void leave() noexcept { --inside_; }
    int wrong() const noexcept { return wrong_; }

  private:
    std::atomic<int> inside_ = 0;
    std::atomic<int> wrong_ = 0;
};

} // namespace chainring::test
