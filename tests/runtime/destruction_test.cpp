// Destroying a task that is suspended in an operation is safe at every stage of the operation. Each
// combination of an operation and a stage is one run; the sanitizers look for what the checks do not see.
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/try.hpp>

#include <catch2/generators/catch_generators_range.hpp>

#include <array>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

enum class stage { before_submission, in_flight, reaped };

struct probe {
    explicit probe(executor& given)
        : home(given) {}
    executor& home;
    pipe_ends pipe;
    std::unique_ptr<std::array<char, 16>> memory = std::make_unique<std::array<char, 16>>();
    int waiting = 0;   // tasks that are suspended, or about to be, in the operation
    int destroyed = 0; // of those
    int resumed = 0;   // must stay 0
};

struct witness {
    explicit witness(probe& given)
        : probe_(given) {
        ++probe_.waiting;
    }
    ~witness() { ++probe_.destroyed; }
    witness(const witness&) = delete;
    witness& operator=(const witness&) = delete;
    probe& probe_;
};

task<> in_uring(probe& used) {
    const witness local(used);
    (void)co_await read_into(used.pipe.reading(), *used.memory);
    ++used.resumed;
}

task<> in_try(probe& used) {
    auto body = [](probe& used_) -> task<result<void>> {
        const witness local(used_);
        co_await try_(read_into(used_.pipe.reading(), *used_.memory));
        ++used_.resumed;
        co_return {};
    };
    (void)co_await body(used);
    ++used.resumed;
}

task<> in_task_await(probe& used) {
    const witness local(used);
    co_await in_uring(used);
    ++used.resumed;
}

task<> in_tried_task(probe& used) {
    auto body = [](probe& used_) -> task<result<void>> {
        auto child = [](probe& used__) -> task<result<int>> {
            const witness local(used__);
            co_return co_await read_into(used__.pipe.reading(), *used__.memory);
        };
        co_await try_(child(used_));
        ++used_.resumed;
        co_return {};
    };
    (void)co_await body(used);
    ++used.resumed;
}

// Beyond the depth up to which children start on their caller's stack.
task<> deep(probe& used, int levels) {
    if (levels == 0)
        co_await in_uring(used);
    else
        co_await deep(used, levels - 1);
    ++used.resumed;
}

task<> in_deep_await(probe& used) {
    return deep(used, 10'000);
}

task<> in_join(probe& used) {
    const witness local(used);
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(in_uring(used));
        group.spawn(in_task_await(used));
        co_return;
    });
    ++used.resumed;
}

task<> in_scope_body(probe& used) {
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(in_uring(used));
        co_await in_uring(used);
        ++used.resumed;
    });
    ++used.resumed;
}

struct tested {
    const char* name;
    task<> (*make)(probe&);
    int waiting;
    unsigned operations;
};

constexpr tested ring_operations[] = {
    {"uring", in_uring, 1, 1},           {"try", in_try, 1, 1},
    {"task", in_task_await, 2, 1},       {"tried task", in_tried_task, 1, 1},
    {"deep await", in_deep_await, 1, 1}, {"scope join", in_join, 4, 2},
    {"scope body", in_scope_body, 2, 2},
};

task<> destroy_at(const tested& chosen, stage at, probe& used) {
    executor& home = used.home;
    auto group = std::make_unique<task_group>(co_await this_scope{});
    if (at == stage::reaped) used.pipe.write("sixteen bytes 16sixteen bytes 16");
    const auto before = home.stats();
    group->spawn(chosen.make(used));
    while (used.waiting < chosen.waiting) co_await yield();
    CHECK(home.stats().sqes == before.sqes);
    CHECK(home.stats().operations_in_flight == chosen.operations);
    if (at == stage::in_flight) {
        co_await next_turn{};
        co_await next_turn{};
        CHECK(home.stats().sqes >= before.sqes + chosen.operations);
        CHECK(home.stats().operations_in_flight == chosen.operations);
    }
    if (at == stage::reaped) {
        co_await everything_reaped{};
        CHECK(home.stats().operations_in_flight == 0);
    }
    CHECK(used.destroyed == 0);
    group.reset();
    CHECK(used.destroyed == chosen.waiting);
    CHECK(home.stats().operations_in_flight == 0);
    used.memory.reset(); // the kernel must be done with it
    if (at != stage::reaped) {
        used.pipe.write("late");
        CHECK(used.pipe.left() == "late"); // nobody reads any more
    }
    co_await next_turn{};
    co_await yield();
    CHECK(used.resumed == 0);
}

} // namespace

TEST_CASE("a_task_suspended_in_a_ring_operation_can_be_destroyed_at_any_stage") {
    const task_work_mode mode = GENERATE(both_modes());
    const auto at = GENERATE(stage::before_submission, stage::in_flight, stage::reaped);
    const tested& chosen = ring_operations[GENERATE(range(std::size_t{0}, std::size(ring_operations)))];
    CAPTURE(chosen.name, static_cast<int>(at));
    executor_options options = options_for(mode);
    options.budget = 100'000; // all that happens before the submission happens in one turn
    executor used(options, test_kernel());
    probe watched(used);
    used.run(destroy_at(chosen, at, watched));
    check_baseline(used);
}

namespace {

task<> in_sleep(probe& used, time_point until) {
    const witness local(used);
    (void)co_await sleep_until(until);
    ++used.resumed;
}

} // namespace

TEST_CASE("a_sleeping_task_can_be_destroyed_before_and_after_a_turn") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const auto at = GENERATE(stage::before_submission, stage::in_flight);
    probe watched(used);
    used.run([](probe& probed, stage stage_) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        group->spawn(in_sleep(probed, test_kernel().now() + 1h));
        co_await yield();
        if (stage_ == stage::in_flight) (void)co_await no_operation();
        CHECK(probed.waiting == 1);
        group.reset();
        CHECK(probed.destroyed == 1);
        time_point next;
        CHECK_FALSE(probed.home.timers().next(next));
        (void)co_await no_operation();
        CHECK(probed.resumed == 0);
    }(watched, at));
    check_baseline(used);
}

TEST_CASE(
    "a_sleeping_task_can_be_destroyed_when_its_timer_has_fired_and_it_has_not_been_resumed", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    probe watched(used);
    used.run([](probe& probed) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        task_group killers(co_await this_scope{});
        const time_point deadline = test_kernel().now() + 1ms;
        // Armed first with the same deadline: goes on first when both timers have fired.
        killers.spawn([](std::unique_ptr<task_group>& victims, time_point time, probe& watch) -> task<> {
            (void)co_await sleep_until(time);
            time_point next;
            CHECK_FALSE(watch.home.timers().next(next)); // the other one has fired too
            CHECK(watch.waiting == 1);
            victims.reset();
            CHECK(watch.destroyed == 1);
        }(group, deadline, probed));
        group->spawn(in_sleep(probed, deadline));
        co_await killers.join();
        CHECK(group == nullptr);
        (void)co_await no_operation();
        CHECK(probed.resumed == 0);
    }(watched));
    check_baseline(used);
}

namespace {

// What a user writes to wait for another thread: whoever dies first takes leave of the other.
class answer_from_elsewhere final : public waiter {
  public:
    struct shared {
        answer_from_elsewhere* waiting = nullptr;
    };

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        suspend(caller, where);
        home_ = &caller.promise().scope().home();
        state_->waiting = this;
        std::thread([state = state_, &home = *home_] {
            home.post([state, &home] {
                if (state->waiting != nullptr) home.ready().push(*state->waiting);
            });
        }).join();
    }
    void await_resume() const noexcept {}
    void cancel() noexcept override {}
    ~answer_from_elsewhere() { state_->waiting = nullptr; }

  private:
    executor* home_ = nullptr;
    std::shared_ptr<shared> state_ = std::make_shared<shared>();
};

} // namespace

TEST_CASE("a_task_that_waits_for_a_post_can_be_destroyed_before_and_after_the_post_arrives", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const bool arrived = GENERATE(false, true);
    probe watched(used);
    used.run([](probe& probed, bool arrived_) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        group->spawn([](probe& watch) -> task<> {
            const witness local(watch);
            co_await answer_from_elsewhere{};
            ++watch.resumed;
        }(probed));
        co_await yield();
        if (arrived_) co_await next_turn{}; // goes to the front of the queue, the waiter to its back
        CHECK(probed.destroyed == 0);
        group.reset();
        CHECK(probed.destroyed == 1);
        co_await next_turn{};
        co_await yield();
        CHECK(probed.resumed == 0);
    }(watched, arrived));
    check_baseline(used);
}

TEST_CASE("a_task_that_awaits_one_that_has_not_been_started_can_be_destroyed") {
    executor_options options;
    options.budget =
        2; // this task and the child's start; what is nested too deeply is left for the next turn
    executor used(options, test_kernel());
    probe watched(used);
    used.run([](probe& probed) -> task<> {
        co_await next_turn{};
        auto group = std::make_unique<task_group>(co_await this_scope{});
        group->spawn(in_deep_await(probed));
        co_await next_turn{};
        CHECK(probed.home.stats().live_tasks > 20); // as many as fit into the stack for nesting
        CHECK(probed.waiting == 0);
        group.reset();
        co_await yield();
        CHECK(probed.resumed == 0);
    }(watched));
    check_baseline(used);
}

TEST_CASE("memory_inside_a_hand_made_operation_outlives_the_kernels_use_of_it") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const auto at = GENERATE(stage::before_submission, stage::in_flight);
    struct owned_memory {
        explicit owned_memory(executor& given, std::uint32_t& seen)
            : home(&given)
            , in_flight(&seen) {}
        owned_memory(owned_memory&& other) noexcept
            : home(std::exchange(other.home, nullptr))
            , in_flight(other.in_flight)
            , bytes(std::move(other.bytes)) {}
        ~owned_memory() {
            if (home != nullptr) *in_flight = home->stats().operations_in_flight;
        }
        executor* home;
        std::uint32_t* in_flight;
        std::vector<char> bytes = std::vector<char>(64);
    };
    std::uint32_t in_flight_at_its_end = 1000;
    pipe_ends pipe;
    used.run([](executor& home, pipe_ends& from, std::uint32_t& seen, stage stage_) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        group->spawn([](executor& own, pipe_ends& from_, std::uint32_t& seen_) -> task<> {
            auto prepare = [memory = owned_memory(own, seen_), &from_](io_uring_sqe& sqe) mutable {
                prepare_read(sqe, from_.reading(), memory.bytes.data(), 64);
            };
            (void)co_await uring(std::move(prepare));
        }(home, from, seen));
        co_await yield();
        if (stage_ == stage::in_flight) {
            co_await next_turn{};
            co_await next_turn{};
        }
        REQUIRE(home.stats().operations_in_flight == 1);
        group.reset();
    }(used, pipe, in_flight_at_its_end, at));
    CHECK(in_flight_at_its_end == 0);
    check_baseline(used);
}

TEST_CASE("a_descriptor_that_a_destroyed_operation_opened_is_closed", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    const auto at = GENERATE(stage::before_submission, stage::reaped);
    const int opener = GENERATE(0, 1, 2);
    used.run([]() -> task<> { (void)co_await no_operation(); }());
    const std::size_t before = open_descriptors();
    used.run([](executor& home, stage stage_, int kind) -> task<> {
        auto group = std::make_unique<task_group>(co_await this_scope{});
        static constexpr open_how how = {.flags = O_RDONLY | O_CLOEXEC, .mode = 0, .resolve = 0};
        group->spawn([](int kind_) -> task<> {
            (void)co_await uring([kind_](io_uring_sqe& sqe) {
                switch (kind_) {
                case 0: io_uring_prep_openat(&sqe, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0); break;
                case 1:
                    io_uring_prep_openat2(&sqe, AT_FDCWD, "/dev/null", const_cast<open_how*>(&how));
                    break;
                default: io_uring_prep_socket(&sqe, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0); break;
                }
            });
        }(kind));
        co_await yield();
        if (stage_ == stage::reaped) co_await everything_reaped{};
        CHECK(home.stats().operations_in_flight == (stage_ == stage::reaped ? 0 : 1));
        group.reset();
    }(used, at, opener));
    CHECK(open_descriptors() == before);
    check_baseline(used);
}
