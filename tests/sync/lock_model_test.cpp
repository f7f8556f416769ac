// The lock of primitives (sync/short_mutex.hpp) in every order of what its threads do.
#include "interleavings.hpp"

#include <chainring/sync/short_mutex.hpp>

#include <catch2/catch_test_macros.hpp>

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

// Wrong on purpose: the end of keeping without its fence, and without the wait for the keeper.
struct no_fence_everywhere : model_memory {
    static void fence_everywhere() {}
};
struct impatient : model_memory {
    static void wait_until(const std::function<bool()>&) {}
};

// Threads that take the lock so often each: one at a time, and in the end all have had it. Whoever lets it go first keeps it.
template <class Memory>
sim::explored explore_lock(const std::vector<int>& rounds, unsigned most_preemptions) {
    return sim::explore({}, {.runs = 10'000'000}, [&](sim::world& world) {
        short_mutex_over<Memory> lock(0);
        bool taken = false;
        bool right = true;
        interleaving threads(world, most_preemptions);
        for (const int count : rounds)
            threads.add([&, count] {
                for (int round = 0; round < count; ++round) {
                    const std::lock_guard hold(lock);
                    if (std::exchange(taken, true)) right = false;
                    interleaving::step();
                    taken = false;
                }
            });
        return threads.run() && right;
    });
}

void check_lock(const std::vector<int>& rounds, unsigned most_preemptions) {
    const sim::explored all = explore_lock<model_memory>(rounds, most_preemptions);
    CAPTURE(all.runs, all.choices);
    CHECK(all.complete);
    CHECK_FALSE(all.thinned);
    CHECK(all.runs > 200);
}

} // namespace

TEST_CASE("a_lock_that_a_thread_keeps_is_exclusive_when_others_come_in_any_order") {
    check_lock({2, 1}, 4);
    check_lock({3, 2}, 2);
    check_lock({2, 1, 1}, 2);
}

TEST_CASE("the_model_of_a_lock_rejects_an_end_of_keeping_it_without_a_fence") {
    CHECK_FALSE(explore_lock<no_fence_everywhere>({2, 1}, 2).complete);
}

TEST_CASE("the_model_of_a_lock_rejects_an_end_of_keeping_it_while_the_keeper_is_inside") {
    CHECK_FALSE(explore_lock<impatient>({2, 1}, 2).complete);
}
