// A turn: what runs in which order, and what it may not starve, hold up or lose.
#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace chainring;
using namespace chainring::test;

TEST_CASE("ready_coroutines_run_in_the_order_in_which_they_became_ready") {
    executor used({}, test_kernel());
    std::vector<std::string> order;
    used.run([](std::vector<std::string>& to) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (const char* name : {"a", "b", "c"}) {
                group.spawn([](std::vector<std::string>& log, std::string own) -> task<> {
                    for (int i = 0; i < 3; ++i) {
                        log.push_back(own + std::to_string(i));
                        co_await yield();
                    }
                }(to, name));
            }
            co_return;
        });
    }(order));
    CHECK(order.size() == 9);
    // Each task's steps in order, and every step of one before the next step of any that started before it.
    auto position = [&](const char* step) { return std::ranges::find(order, step) - order.begin(); };
    CHECK(position("a0") < position("b0"));
    CHECK(position("b0") < position("c0"));
    CHECK(position("a1") < position("b1"));
    CHECK(position("b1") < position("c1"));
    CHECK(position("c1") < position("c2"));
    CHECK(position("a1") < position("a2"));
}

TEST_CASE("completions_make_their_coroutines_ready_in_the_order_of_the_cqes") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const std::vector<int> order = completion_order(used, 50);
    REQUIRE(order.size() == 50);
    CHECK(std::ranges::is_sorted(order));
}

TEST_CASE("operations_of_one_turn_share_one_enter") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([](executor& home) -> task<> {
        (void)co_await no_operation();
        const statistics before = home.stats();
        co_await scope([](task_group& group) -> task<> {
            for (int i = 0; i < 100; ++i) group.spawn([]() -> task<> { (void)co_await no_operation(); }());
            co_return;
        });
        const statistics after = home.stats();
        // One SQE may be for being woken from outside.
        CHECK(after.sqes - before.sqes >= 100);
        CHECK(after.sqes - before.sqes <= 101);
        CHECK(after.cqes - before.cqes == 100);
        CHECK(after.enters - before.enters <= 8); // a hundred completions may be handed out in several passes
    }(used));
    check_baseline(used);
}

TEST_CASE("a_turn_enters_the_kernel_once") {
    struct counting final : forwarding_kernel {
        std::uint64_t enters = 0;
        int enable_ring(io_uring& ring) noexcept override {
            const int flags = forwarding_kernel::enable_ring(ring);
            trial_ = true;
            return flags;
        }
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            // The first one only finds out whether the call is allowed.
            if (!std::exchange(trial_, false)) ++enters;
            return forwarding_kernel::enter(ring, to_submit, wait, flags);
        }

      private:
        bool trial_ = false;
    } counted;
    executor used(options_for(GENERATE(both_modes())), counted);
    used.run([]() -> task<> {
        for (int i = 0; i < 1000; ++i) {
            (void)co_await no_operation();
            if (i % 10 == 0) (void)co_await sleep(duration::zero());
        }
    }());
    const statistics end = used.stats();
    CHECK(end.enters == counted.enters);
    CHECK(end.enters == end.turns);
    CHECK(end.turns <= 1200);
    CHECK(end.sqes == 1001); // one for being woken from outside
    CHECK(end.cqes == 1000);
    CHECK(end.submit_retries == 0);
}

TEST_CASE("a_task_that_is_always_ready_does_not_starve_operations", "[linux]") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.budget = GENERATE(1U, 16U, 256U);
    executor used(options, test_kernel());
    bool done = false;
    used.run([](bool& done_) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](bool& until) -> task<> {
                while (!until) co_await yield();
            }(done_));
            group.spawn([](bool& until) -> task<> {
                while (!until) co_await yield();
            }(done_));
            group.spawn([](bool& set) -> task<> {
                for (int i = 0; i < 10; ++i) (void)co_await no_operation();
                (void)co_await sleep(std::chrono::microseconds(100));
                set = true;
            }(done_));
            co_return;
        });
    }(done));
    CHECK(done);
}

TEST_CASE("a_post_that_posts_itself_for_ever_does_not_starve_operations_and_tasks", "[linux]") {
    executor used({}, test_kernel());
    struct endless final : posted_work {
        explicit endless(executor& given)
            : home(given) {}
        void run() noexcept override {
            ++runs;
            if (!stopped) home.post(*this);
        }
        executor& home;
        bool stopped = false;
        std::uint64_t runs = 0;
    } work(used);
    used.run([](executor& home, endless& posted) -> task<> {
        home.post(posted);
        for (int i = 0; i < 10; ++i) (void)co_await no_operation();
        co_await yield();
        (void)co_await sleep(std::chrono::microseconds(100));
        CHECK(posted.runs > 10);
        posted.stopped = true;
        co_await next_turn{};
    }(used, work));
}

TEST_CASE("the_budget_bounds_the_coroutines_of_a_turn") {
    executor_options options;
    options.budget = 10;
    executor used(options, test_kernel());
    used.run([](executor& home) -> task<> {
        co_await next_turn{};
        co_await yield(); // the second resumption of a turn, whose counters are written when it ends
        const statistics before = home.stats();
        for (int i = 0; i < 1000; ++i) co_await yield();
        const statistics after = home.stats();
        CHECK(after.turns - before.turns == 100);
        CHECK(after.enters - before.enters == 100);
        CHECK(after.resumptions - before.resumptions == 1000);
    }(used));
}

TEST_CASE("more_operations_than_the_submission_queue_holds_are_all_done") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 8;
    options.ring.completion_entries = 16;
    executor used(options, test_kernel());
    int done = 0;
    used.run([](int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 1000; ++i) {
                group.spawn([](int& to) -> task<> {
                    const result<int> outcome = co_await no_operation();
                    if (outcome == 0) ++to;
                }(count));
            }
            co_return;
        });
    }(done));
    CHECK(done == 1000);
    check_baseline(used);
}

TEST_CASE("completions_that_overflow_the_queue_are_not_lost") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 4;
    options.ring.completion_entries = 4;
    executor used(options, test_kernel());
    std::vector<std::unique_ptr<pipe_ends>> pipes;
    for (int i = 0; i < 64; ++i) pipes.push_back(std::make_unique<pipe_ends>());
    int done = 0;
    used.run([](auto& pipes_, int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (auto& each : pipes_) {
                group.spawn([](const pipe_ends& from, int& to) -> task<> {
                    char byte = 0;
                    const result<int> read = co_await read_into(from.reading(), {&byte, 1});
                    if (read == 1 && byte == 'x') ++to;
                }(*each, count));
            }
            for (int i = 0; i < 20; ++i) co_await next_turn{};
            for (auto& each : pipes_) each->write("x"); // all of them complete at once
            co_return;
        });
    }(pipes, done));
    CHECK(done == 64);
    check_baseline(used);
}
