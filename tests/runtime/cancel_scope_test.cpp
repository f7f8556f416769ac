#include "runtime/forwarding_kernel.hpp"
#include "runtime/small_stack.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/cancel_scope.hpp>
#include <chainring/runtime/sleep.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

constexpr result<int> untouched = -1000;

task<> sleeps(result<int>& outcome) {
    const result<void> slept = co_await sleep(1h);
    outcome = slept ? result<int>(0) : failure(slept.error());
}

task<> reads(const pipe_ends& from, std::span<char> memory, result<int>& outcome) {
    outcome = co_await read_into(from.reading(), memory);
}

} // namespace

TEST_CASE("an_operation_in_a_cancelled_scope_is_not_started") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    pipe.write("data");
    used.run([](executor& home, pipe_ends& from) -> task<> {
        task_group group(co_await this_scope{});
        group.cancel();
        char memory[16];
        result<int> slept = untouched;
        result<int> read = untouched;
        const auto before = home.stats();
        group.spawn(sleeps(slept));
        group.spawn(reads(from, memory, read));
        co_await group.join();
        CHECK(slept == failure(errc::cancelled));
        CHECK(read == failure(errc::cancelled));
        CHECK(home.stats().sqes == before.sqes);
        CHECK(home.stats().operations_in_flight == 0);
    }(used, pipe));
    CHECK(pipe.left() == "data");
    check_baseline(used);
}

TEST_CASE("an_operation_that_waits_is_cancelled_without_effect") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        task_group group(co_await this_scope{});
        char memory[16];
        result<int> slept = untouched;
        result<int> read = untouched;
        group.spawn(sleeps(slept));
        group.spawn(reads(from, memory, read));
        co_await next_turn{};
        co_await next_turn{}; // submitted
        REQUIRE(home.stats().operations_in_flight == 1);
        group.cancel();
        CHECK(read == untouched); // nobody is resumed by cancel itself
        CHECK(slept == untouched);
        co_await group.join();
        CHECK(slept == failure(errc::cancelled));
        CHECK(read == failure(errc::cancelled));
    }(used, pipe));
    pipe.write("late");
    CHECK(pipe.left() == "late");
    check_baseline(used);
}

TEST_CASE("an_operation_cancelled_between_its_start_and_its_submission_reports_what_the_kernel_did") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    const bool has_data = GENERATE(false, true);
    if (has_data) pipe.write("data");
    used.run([](executor& home, pipe_ends& from, bool has_data_) -> task<> {
        task_group group(co_await this_scope{});
        std::array<char, 16> memory{};
        result<int> read = untouched;
        const auto before = home.stats();
        group.spawn(reads(from, memory, read));
        co_await yield();
        REQUIRE(home.stats().operations_in_flight == 1);
        REQUIRE(home.stats().sqes == before.sqes);
        group.cancel();
        co_await group.join();
        // Bytes that moved are reported, never dropped.
        if (has_data_)
            CHECK(read == 4);
        else
            CHECK(read == failure(errc::cancelled));
    }(used, pipe, has_data));
    check_baseline(used);
}

TEST_CASE("an_operation_that_is_complete_before_its_coroutine_runs_is_not_cancelled_any_more") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    pipe.write("data");
    used.run([](pipe_ends& from) -> task<> {
        task_group group(co_await this_scope{});
        std::array<char, 16> memory{};
        result<int> read = untouched;
        group.spawn(reads(from, memory, read));
        co_await yield();
        co_await everything_reaped{};
        REQUIRE(read == untouched);
        group.cancel();
        co_await group.join();
        CHECK(read == 4);
        CHECK(std::string_view(memory.data(), 4) == "data");
    }(pipe));
    check_baseline(used);
}

TEST_CASE("a_sleep_whose_time_has_come_is_not_cancelled_any_more") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        task_group group(co_await this_scope{});
        const time_point deadline = test_kernel().now() + 1ms;
        result<void> outcome = failure(errc::busy);
        // Same deadline, armed first: this task is resumed first, when both timers have fired.
        group.spawn([](time_point at, result<void>& to, task_group& own) -> task<> {
            (void)co_await sleep_until(at);
            CHECK(to == failure(errc::busy));
            own.cancel();
        }(deadline, outcome, group));
        group.spawn([](time_point at, result<void>& to) -> task<> {
            to = co_await sleep_until(at);
        }(deadline, outcome));
        co_await group.join();
        CHECK(outcome.has_value());
    }());
}

TEST_CASE("cancelling_twice_is_cancelling_once") {
    executor used({}, test_kernel());
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from) -> task<> {
        task_group group(co_await this_scope{});
        char memory[4];
        result<int> read = untouched;
        group.spawn(reads(from, memory, read));
        co_await next_turn{};
        co_await next_turn{};
        const auto before = home.stats();
        group.cancel();
        group.cancel();
        group.scope().cancel();
        co_await group.join();
        CHECK(read == failure(errc::cancelled));
        CHECK(home.stats().sqes == before.sqes + 1);
    }(used, pipe));
    check_baseline(used);
}

TEST_CASE("cancellation_goes_down_and_not_up_or_sideways") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        cancel_scope& parent = co_await this_scope{};
        task_group outer(parent);
        task_group left(outer.scope());
        task_group right(outer.scope());
        task_group below(left.scope());
        result<int> in_outer = untouched;
        result<int> in_left = untouched;
        result<int> in_right = untouched;
        result<int> in_below = untouched;
        outer.spawn(sleeps(in_outer));
        left.spawn(sleeps(in_left));
        right.spawn(sleeps(in_right));
        below.spawn(sleeps(in_below));
        co_await next_turn{};

        left.cancel();
        co_await left.join();
        co_await below.join();
        CHECK(in_left == failure(errc::cancelled));
        CHECK(in_below == failure(errc::cancelled));
        co_await next_turn{};
        CHECK(in_outer == untouched);
        CHECK(in_right == untouched);
        CHECK_FALSE(outer.scope().cancelled());
        CHECK_FALSE(parent.cancelled());

        outer.cancel();
        co_await outer.join();
        co_await right.join();
        CHECK(in_outer == failure(errc::cancelled));
        CHECK(in_right == failure(errc::cancelled));
        CHECK_FALSE(parent.cancelled());

        task_group late(outer.scope());
        CHECK(late.scope().cancelled());
    }());
    check_baseline(used);
}

TEST_CASE("a_scope_that_is_gone_is_not_reached_by_its_parents_cancellation") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        task_group outer(co_await this_scope{});
        auto gone = std::make_unique<task_group>(outer.scope());
        task_group stays(outer.scope());
        result<int> outcome = untouched;
        stays.spawn(sleeps(outcome));
        co_await next_turn{};
        gone.reset();
        outer.cancel();
        co_await stays.join();
        CHECK(outcome == failure(errc::cancelled));
    }());
}

TEST_CASE("cancelling_the_root_scope_ends_every_task_of_the_executor") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    pipe_ends pipe;
    int ended = 0;
    used.run([](executor& home, pipe_ends& from, int& count) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int i = 0; i < 10; ++i) {
                group.spawn([](int& to) -> task<> {
                    co_await scope([](task_group& inner) -> task<> {
                        result<int> ignored = untouched;
                        inner.spawn([](result<int> own) -> task<> { co_await sleeps(own); }(ignored));
                        (void)co_await sleep(1h);
                    });
                    ++to;
                }(count));
                group.spawn([](pipe_ends& from_, int& to) -> task<> {
                    char memory[4];
                    const result<int> read = co_await read_into(from_.reading(), memory);
                    if (read == failure(errc::cancelled)) ++to;
                }(from, count));
            }
            co_await next_turn{};
            co_await next_turn{};
            home.post([&] { home.root_scope().cancel(); });
            const result<void> slept = co_await sleep(1h);
            CHECK(slept == failure(errc::cancelled));
        });
    }(used, pipe, ended));
    CHECK(ended == 20);
    check_baseline(used);
}

TEST_CASE("more_cancellations_than_the_submission_queue_holds_reach_everybody") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 4;
    executor used(options, test_kernel());
    pipe_ends pipe;
    int cancelled = 0;
    used.run([](pipe_ends& from, int& count) -> task<> {
        task_group group(co_await this_scope{});
        for (int i = 0; i < 200; ++i) {
            group.spawn([](pipe_ends& from_, int& to) -> task<> {
                char memory[4];
                const result<int> read = co_await read_into(from_.reading(), memory);
                if (read == failure(errc::cancelled)) ++to;
            }(from, count));
        }
        co_await next_turn{};
        co_await next_turn{};
        group.cancel();
        co_await group.join();
    }(pipe, cancelled));
    CHECK(cancelled == 200);
    check_baseline(used);
}

TEST_CASE("a_task_may_cancel_the_scope_that_it_runs_in") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        co_await scope([](task_group& group) -> task<> {
            group.spawn([](task_group& own) -> task<> {
                own.cancel();
                const result<void> slept = co_await sleep(1h);
                CHECK(slept == failure(errc::cancelled));
            }(group));
            co_return;
        });
    }());
    check_baseline(used);
}

namespace {

// Plays two races of Linux: the first cancel requests find their operation on a worker thread that is just
// giving it up, or do not find it where it is on its way from one place to the next, and come to nothing.
class kernel_that_loses_cancels final : public forwarding_kernel {
  public:
    explicit kernel_that_loses_cancels(int answer)
        : answer_(answer) {}

    int enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
        for (unsigned at = *ring.sq.khead; at != *ring.sq.ktail; ++at) {
            io_uring_sqe& sqe = ring.sq.sqes[at & ring.sq.ring_mask];
            if (sqe.opcode != IORING_OP_ASYNC_CANCEL || to_lose == 0) continue;
            --to_lose;
            sqe.addr = no_operation_at_all;
        }
        const int returned = forwarding_kernel::enter(ring, to_submit, wait, flags);
        for (unsigned at = *ring.cq.khead; at != io_uring_smp_load_acquire(ring.cq.ktail); ++at) {
            io_uring_cqe& cqe = ring.cq.cqes[at & ring.cq.ring_mask];
            if ((cqe.user_data & operation_id::cancel_tag) != 0 && cqe.res == -ENOENT) cqe.res = answer_;
        }
        return returned;
    }

    int to_lose = 3;

  private:
    static constexpr std::uint64_t no_operation_at_all = 0x7777'7777'7777'7777;
    int answer_;
};

} // namespace

TEST_CASE("a_cancellation_that_the_kernel_loses_is_repeated") {
    kernel_that_loses_cancels kernel(GENERATE(-EALREADY, -ENOENT));
    executor used(options_for(GENERATE(both_modes())), kernel);
    pipe_ends pipe;
    const bool destroyed = GENERATE(false, true);
    used.run([](executor& home, pipe_ends& from, bool destroyed_) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        char memory[4];
        result<int> read = untouched;
        group->spawn(reads(from, memory, read));
        co_await next_turn{};
        co_await next_turn{};
        REQUIRE(home.stats().operations_in_flight == 1);
        if (destroyed_) {
            group.reset();
        } else {
            group->cancel();
            co_await group->join();
            CHECK(read == failure(errc::cancelled));
        }
        CHECK(home.stats().operations_in_flight == 0);
    }(used, pipe, destroyed));
    CHECK(kernel.to_lose == 0);
    check_baseline(used);
}

TEST_CASE("a_tree_of_scopes_as_deep_as_memory_goes_is_listed_and_cancelled_on_a_small_stack", "[linux]") {
    executor used({}, test_kernel());
    run_on_small_stack([&used] {
        used.run([]() -> task<> {
            constexpr std::size_t depth = 200'000;
            std::vector<std::unique_ptr<cancel_scope>> nested;
            cancel_scope* above = &co_await this_scope{};
            for (std::size_t level = 0; level < depth; ++level) {
                nested.push_back(std::make_unique<cancel_scope>(above));
                above = nested.back().get();
            }
            {
                CHECK_FALSE(executor::current()->holdings_report().empty()); // this task
                const cancel_scope beside(nested.front().get());
                nested.front()->cancel();
                CHECK(beside.cancelled());
            }
            CHECK(std::ranges::all_of(nested, [](const auto& scope) { return scope->cancelled(); }));
            while (!nested.empty()) nested.pop_back();
        }());
    });
    check_baseline(used);
}
