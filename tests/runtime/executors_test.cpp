// A runtime of several executors.
#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <fstream>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

runtime_options with_threads(unsigned threads) {
    runtime_options options;
    options.executor.buffers.blocks = 16; // there are many of them here
    options.executor.ring.completion_entries = 512;
    options.threads = threads;
    return options;
}

std::size_t threads_of_this_process() {
    std::size_t count = 0;
    for (const auto& each : std::filesystem::directory_iterator("/proc/self/task"))
        if (each.is_directory()) ++count;
    return count;
}

task<> one_turn() {
    co_await yield();
}

task<result<void>> sleeps_until_cancelled(std::atomic<int>& ended) {
    const result<void> slept = co_await sleep(24h);
    ++ended;
    co_return slept;
}

} // namespace

TEST_CASE("a_task_runs_on_each_executor_of_a_runtime", "[linux]") {
    runtime used(with_threads(3));
    std::mutex guard;
    std::set<std::thread::id> threads;
    std::set<unsigned> numbers;
    CHECK(used.run([](runtime& of, auto& lock, auto& ids, auto& places) -> task<result<void>> {
        co_return co_await for_each_executor([&]() -> task<> {
            const std::lock_guard held(lock);
            ids.insert(std::this_thread::get_id());
            places.insert(this_executor().number());
            if (&this_runtime() != &of || &of.at(this_executor().number()) != &this_executor())
                places.clear();
            co_return;
        });
    }(used, guard, threads, numbers)) == 0);
    CHECK(threads.size() == 3);
    CHECK(numbers == std::set{0U, 1U, 2U});
    CHECK(used.size() == 3);
}

TEST_CASE("a_program_that_needs_one_executor_has_one_thread", "[linux]") {
    const std::size_t before = threads_of_this_process();
    runtime used(with_threads(8));
    std::size_t meanwhile = 0;
    used.run([](std::size_t& count) -> task<> {
        count = threads_of_this_process();
        co_return;
    }(meanwhile));
    CHECK(meanwhile == before);
    (void)used.at(5);
    CHECK(threads_of_this_process() == before + 7);
}

TEST_CASE("a_failure_of_one_instance_cancels_the_others_and_is_reported", "[linux]") {
    runtime used(with_threads(3));
    std::atomic<int> cancelled = 0;
    const bool throws = GENERATE(false, true);
    const auto fails = [](std::atomic<int>& count, bool thrown) -> task<result<void>> {
        chainring::latch all_run(3);
        co_return co_await for_each_executor([&]() -> task<result<void>> {
            (void)co_await all_run.arrive_and_wait();
            if (this_executor().number() != 1) co_return co_await sleeps_until_cancelled(count);
            if (thrown) throw std::runtime_error("user");
            co_return failure(errc::busy);
        });
    };
    if (throws)
        CHECK_THROWS_AS(used.block_on(fails(cancelled, true)), std::runtime_error);
    else
        CHECK(used.block_on(fails(cancelled, false)) == failure(errc::busy));
    CHECK(cancelled == 2);
}

TEST_CASE("a_stop_signal_reaches_every_executor", "[linux]") {
    runtime_options options = with_threads(3);
    options.shutdown.soft = GENERATE(duration(0), duration(1h));
    options.shutdown.hard = 1h;
    runtime used(options);
    std::atomic<int> waiting = 0;
    std::atomic<int> finishing = 0;
    const int status = used.run([](std::atomic<int>& there, std::atomic<int>& told) -> task<result<void>> {
        co_return co_await for_each_executor([&]() -> task<result<void>> {
            if (++there == 3) ::raise(SIGTERM);
            auto next = until_shutdown(sleep(24h));
            const result<void> waited = co_await std::move(next);
            ++told;
            co_return waited;
        });
    }(waiting, finishing));
    CHECK(status == 0);
    CHECK(finishing == 3);
}

TEST_CASE("an_executor_that_is_started_during_a_shutdown_shuts_down_too", "[linux]") {
    runtime used(with_threads(2));
    const result<void> refused = used.block_on([](runtime& of) -> task<result<void>> {
        of.begin_shutdown();
        while (!of.home().shutting_down()) co_await yield();
        auto waits = spawn_on(of.at(1), []() -> task<result<void>> {
            auto next = until_shutdown(sleep(24h));
            co_return co_await std::move(next);
        });
        co_return co_await std::move(waits);
    }(used));
    CHECK(refused == failure(errc::cancelled));
}

TEST_CASE("at_the_hard_deadline_the_tasks_of_all_executors_are_given_up", "[linux]") {
    runtime_options options = with_threads(2);
    options.shutdown = {.soft = {}, .hard = 1ms};
    std::atomic<int> destroyed = 0;
    struct counts {
        std::atomic<int>& count;
        ~counts() { ++count; }
    };
    {
        runtime used(options);
        const auto stays = [](std::atomic<int>& count) -> task<> {
            const counts counting{count};
            (void)co_await shield(sleep(24h));
        };
        CHECK_THROWS_AS(
            used.block_on([](runtime& of, auto stay, std::atomic<int>& count) -> task<> {
                spawn(of.at(1), stay(count), [](const ended_task<void>&) {});
                auto there = spawn_on(of.at(1), [&] {
                    of.begin_shutdown();
                    return stay(count);
                });
                (void)co_await std::move(there);
                (void)co_await shield(sleep(24h)); // the other one may have come to its deadline first
            }(used, stays, destroyed)),
            shutdown_overdue);
    }
    CHECK(destroyed == 2);
}

TEST_CASE("tasks_that_nobody_awaits_are_cancelled_with_the_runtime", "[linux]") {
    std::atomic<int> ended = 0;
    {
        runtime used(with_threads(3));
        for (unsigned number = 1; number < 3; ++number)
            spawn(used.at(number), sleeps_until_cancelled(ended), [](const ended_task<result<void>>&) {});
    }
    CHECK(ended == 2);
}

TEST_CASE("two_executors_destroy_what_the_other_one_runs", "[linux]") {
    const int rounds = optimized ? 300 : 50;
    std::atomic<int> begun = 0;
    std::atomic<int> destroyed = 0;
    struct counts {
        std::atomic<int>& count;
        ~counts() { ++count; }
    };
    runtime used(with_threads(2));
    CHECK(used.run([](runtime& of, int times, auto& started, auto& gone) -> task<result<void>> {
        co_return co_await for_each_executor([&, times]() -> task<> {
            executor& other = of.at(1 - this_executor().number());
            for (int round = 0; round < times; ++round) {
                std::optional<task_group> group(std::in_place, co_await this_scope{});
                group->spawn([](executor& there, auto& up, auto& down) -> task<> {
                    auto sleeps = spawn_on(there, [&]() -> task<> {
                        ++up;
                        const counts counting{down};
                        (void)co_await sleep(24h);
                    });
                    (void)co_await std::move(sleeps);
                }(other, started, gone));
                for (int turn = 0; turn < round % 4; ++turn) co_await next_turn{};
                if (round % 5 == 0) co_await sleep(100us);
                group.reset();
            }
        });
    }(used, rounds, begun, destroyed)) == 0);
    CHECK(begun == destroyed);
    CHECK(begun > 0);
}

TEST_CASE("each_executor_has_a_value_of_its_own", "[linux]") {
    struct own_value {
        explicit own_value(std::atomic<int>& counted)
            : ends(counted)
            , made_on(&this_executor()) {}
        own_value(const own_value&) = delete;
        own_value& operator=(const own_value&) = delete;
        ~own_value() {
            if (executor::current() == made_on) ++ends;
        }
        std::atomic<int>& ends;
        executor* made_on;
        int count = 0;
    };
    std::atomic<int> ended_at_home = 0;
    runtime used(with_threads(3));
    CHECK(used.run([](runtime& of, std::atomic<int>& ends) -> task<result<void>> {
        auto values = co_await try_(per_executor<own_value>::make([&ends] { return own_value(ends); }));
        for (int round = 0; round < 30; ++round) {
            auto counting =
                call_on(of.at(static_cast<unsigned>(round) % 3), [&values] { ++values.local().count; });
            co_await try_(std::move(counting));
        }
        for (unsigned number = 0; number < 3; ++number) {
            executor& there = of.at(number);
            auto asking =
                call_on(there, [&] { return values.local().made_on == &there ? values.local().count : -1; });
            const result<int> count = co_await std::move(asking);
            CHECK(count == 10);
        }
        co_return result<void>();
    }(used, ended_at_home)) == 0);
    CHECK(ended_at_home == 3);
}

TEST_CASE("what_makes_the_values_of_executors_may_throw", "[linux]") {
    runtime used(with_threads(3));
    std::atomic<int> made = 0;
    CHECK_THROWS_AS(
        used.block_on([](std::atomic<int>& count) -> task<> {
            (void)co_await per_executor<std::string>::make([&count] {
                if (++count == 3) throw std::runtime_error("user");
                return std::string("value");
            });
        }(made)),
        std::runtime_error);
    CHECK(made == 3);
}

TEST_CASE("a_runtime_without_threads_is_refused", "[linux]") {
    CHECK_THROWS_AS(runtime(with_threads(0)), std::invalid_argument);
}

TEST_CASE("more_executors_than_cores_are_allowed", "[linux]") {
    runtime used(with_threads(usable_cores() + 3));
    std::atomic<unsigned> instances = 0;
    CHECK(used.run([](std::atomic<unsigned>& count) -> task<result<void>> {
        co_return co_await for_each_executor([&count]() -> task<> {
            ++count;
            co_return;
        });
    }(instances)) == 0);
    CHECK(instances == used.size());
}

TEST_CASE("executors_stay_on_their_cores", "[linux]") {
    const std::vector<unsigned> cores = cores_of_this_thread();
    runtime_options options = with_threads(2);
    options.pinned_to = {cores.back(), cores.front()};
    std::mutex guard;
    std::set<std::vector<unsigned>> seen;
    {
        runtime used(options);
        CHECK(used.run([](std::mutex& lock, auto& places) -> task<result<void>> {
            co_return co_await for_each_executor([&]() -> task<> {
                const std::lock_guard held(lock);
                places.insert(cores_of_this_thread());
                co_return;
            });
        }(guard, seen)) == 0);
    }
    CHECK(seen == std::set<std::vector<unsigned>>{{cores.front()}, {cores.back()}});
    CHECK(cores_of_this_thread() == cores);

    options.threads = 3;
    CHECK_THROWS_AS(runtime(options), std::invalid_argument);
    options.threads.reset();
    CHECK(runtime(options).size() == 2);
    options.pinned_to = {CPU_SETSIZE - 1};
    CHECK_THROWS_AS(runtime(options), std::invalid_argument);
}

TEST_CASE("an_executor_that_a_runtime_does_not_have_is_refused", "[linux]") {
    runtime used(with_threads(2));
    CHECK_THROWS_AS(used.at(2), std::out_of_range);
    CHECK_THROWS_AS(this_executor(), std::logic_error);
    executor alone;
    bool refused = false;
    alone.run([](bool& told) -> task<> {
        try {
            (void)this_runtime();
        } catch (const std::logic_error&) {
            told = true;
        }
        co_return;
    }(refused));
    CHECK(refused);
}

TEST_CASE("executors_that_cannot_be_made_leave_nothing_behind", "[linux]") {
    class out_of_rings final : public forwarding_kernel {
      public:
        std::atomic<int> left = 3;
        int open_ring(io_uring& ring, const ring_options& options) noexcept override {
            return left-- > 0 ? forwarding_kernel::open_ring(ring, options) : -ENOMEM;
        }
    } behind;
    const std::size_t threads = threads_of_this_process();
    const std::size_t descriptors = open_descriptors();
    {
        runtime used(with_threads(4), behind);
        used.run(one_turn());
        CHECK_THROWS_AS(used.at(1), std::system_error);
        CHECK(threads_of_this_process() == threads);
        used.run(one_turn()); // the first one is as it was
        behind.left = 3;
        CHECK(used.at(1).number() == 1); // it may be tried again
    }
    CHECK(threads_of_this_process() == threads);
    CHECK(open_descriptors() == descriptors);
}

TEST_CASE("the_end_of_executors_leaves_those_alone_that_their_thread_has_besides", "[linux]") {
    executor other;
    other.run(one_turn());
    {
        runtime used(with_threads(3));
        used.at(2);
        used.run(one_turn());
    }
    const std::uint64_t resumptions = other.stats().resumptions;
    other.run(one_turn());
    CHECK(other.stats().resumptions > resumptions);
}

TEST_CASE("what_is_posted_as_the_executors_end_runs", "[linux]") {
    std::atomic<int> ran = 0;
    {
        runtime used(with_threads(3));
        // Each posts on to the next one, until all have ended.
        struct relay {
            runtime& of;
            std::atomic<int>& count;
            int left;
            void operator()() const {
                ++count;
                if (left != 0) of.at(static_cast<unsigned>(left) % 3).post(relay{of, count, left - 1});
            }
        };
        for (unsigned number = 0; number < 3; ++number) used.at(number).post(relay{used, ran, 500});
    }
    CHECK(ran == 3 * 501);
}

TEST_CASE("posts_of_other_threads_are_safe_until_a_runtime_ends", "[linux]") {
    constexpr int posts = 2000;
    std::atomic<int> ran = 0;
    {
        runtime used(with_threads(3));
        std::vector<std::jthread> threads;
        std::latch all_are_there(3);
        for (int number = 0; number < 2; ++number)
            threads.emplace_back([&] {
                all_are_there.arrive_and_wait();
                for (int post = 0; post < posts; ++post)
                    used.at(static_cast<unsigned>(post) % 3).post([&ran] { ++ran; });
            });
        all_are_there.arrive_and_wait();
        CHECK(used.run([]() -> task<result<void>> {
            co_return co_await for_each_executor([]() -> task<> { co_await yield(); });
        }()) == 0);
    }
    CHECK(ran == 2 * posts);
}

namespace {

std::size_t memory_in_use() {
    std::size_t whole = 0;
    std::size_t resident = 0;
    std::ifstream("/proc/self/statm") >> whole >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void come_and_go(int rounds) {
    const auto round = [] {
        runtime used(with_threads(2));
        const result<void> ran = used.block_on([]() -> task<result<void>> {
            co_return co_await for_each_executor([]() -> task<> { co_await yield(); });
        }());
        if (!ran) FAIL("they did not run: " << ran.error().message());
    };
    for (int warm = 0; warm < 3; ++warm) round();
    const std::size_t threads = threads_of_this_process();
    const std::size_t descriptors = open_descriptors();
    const std::size_t memory = memory_in_use();
    for (int number = 0; number < rounds; ++number) round();
    CHECK(threads_of_this_process() == threads);
    CHECK(open_descriptors() == descriptors);
    // Of each a byte lost in every KiB that it has would be more.
    if (!with_sanitizer) CHECK(memory_in_use() < memory + (std::size_t{4} << 20));
}

} // namespace

TEST_CASE("runtimes_come_and_go_without_a_trace", "[linux]") {
    come_and_go(optimized ? 50 : 5);
}

// test-runtime "[.ten_thousand]": takes longer than all the others.
TEST_CASE("ten_thousand_runtimes_come_and_go_without_a_trace", "[.ten_thousand]") {
    come_and_go(10'000);
}

TEST_CASE("instances_that_are_cancelled_at_any_time_end_on_all_executors", "[linux]") {
    runtime used(with_threads(3));
    std::atomic<int> inside = 0;
    used.run([](std::atomic<int>& count) -> task<> {
        struct counts {
            std::atomic<int>& in;
            explicit counts(std::atomic<int>& of)
                : in(of) {
                ++in;
            }
            ~counts() { --in; }
            counts(const counts&) = delete;
            counts& operator=(const counts&) = delete;
        };
        for (int round = 0; round < (optimized ? 300 : 60); ++round) {
            auto instances = for_each_executor([&count]() -> task<result<void>> {
                const counts counting(count);
                const result<void> back = co_await resume_on(this_runtime().at(0));
                if (!back) co_return back;
                auto asking = call_on(this_runtime().at(1), [] {});
                (void)co_await std::move(asking);
                co_return co_await sleep(24h);
            });
            auto limited = timeout(std::chrono::microseconds(round % 40 * 5), std::move(instances));
            const result<void> cut = co_await std::move(limited);
            CHECK(cut == failure(errc::timed_out));
            CHECK(count == 0);
            auto values = per_executor<int>::make([] { return 7; });
            auto soon = timeout(std::chrono::microseconds(round % 40 * 5), std::move(values));
            auto made = co_await std::move(soon);
            if (made) CHECK(made->local() == 7);
        }
    }(inside));
    CHECK(inside == 0);
}
