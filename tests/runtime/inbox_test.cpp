#include "runtime/forwarding_kernel.hpp"
#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/sleep.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

task<> wait_for(gate& opened) {
    co_await opened;
}

// Each look at the inbox lets another thread go on, as it were.
struct watched_memory : machine_memory {
    static void pause() {
        ++looks;
        if (other_thread) other_thread();
    }
    static inline int looks = 0;
    static inline std::function<void()> other_thread;
};

struct counted_work final : posted_work {
    void run() noexcept override { ++ran; }
    int ran = 0;
};

} // namespace

TEST_CASE("posts_of_eight_threads_arrive_once_each_and_in_order_for_each_thread", "[linux]") {
    constexpr unsigned threads = 8;
    constexpr unsigned posts = 5000;
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    gate finished;
    std::array<std::vector<unsigned>, threads> arrived;
    unsigned count = 0;
    std::atomic<int> wrong_thread = 0;
    const auto home_thread = std::this_thread::get_id();

    std::vector<std::thread> posters;
    for (unsigned number = 0; number < threads; ++number) {
        posters.emplace_back([&, number] {
            for (unsigned i = 0; i < posts; ++i) {
                used.post([&, number, i] {
                    if (std::this_thread::get_id() != home_thread) ++wrong_thread;
                    arrived[number].push_back(i);
                    if (++count == threads * posts) finished.open();
                });
                if (i % 512 == number) std::this_thread::yield();
            }
        });
    }
    used.run(wait_for(finished));
    for (std::thread& poster : posters) poster.join();

    CHECK(wrong_thread == 0);
    for (const auto& numbers : arrived) {
        REQUIRE(numbers.size() == posts);
        CHECK(std::ranges::is_sorted(numbers));
    }
    check_baseline(used);
}

TEST_CASE("every_post_wakes_a_sleeping_executor", "[linux]") {
    // Ping-pong: nobody goes on before the other one has answered, so the executor sleeps, or is about to, at
    // each post.
    constexpr int rounds = 2000;
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    gate finished;
    std::binary_semaphore answered(0);
    std::thread poster([&] {
        for (int i = 0; i < rounds; ++i) {
            used.post([&] { answered.release(); });
            answered.acquire();
        }
        used.post([&] { finished.open(); });
    });
    used.run(wait_for(finished));
    poster.join();
    CHECK(used.stats().wakeups <= rounds + 1);
    check_baseline(used);
}

TEST_CASE("an_executor_that_waits_for_a_timer_is_woken_by_a_post", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([](executor& home) -> task<> {
        task_group group(co_await this_scope{});
        result<void> outcome;
        group.spawn([](result<void>& to) -> task<> { to = co_await sleep(std::chrono::hours(10)); }(outcome));
        std::thread poster([&] { home.post([&] { group.cancel(); }); });
        co_await group.join();
        poster.join();
        CHECK(outcome == failure(errc::cancelled));
    }(used));
}

TEST_CASE("posts_from_the_executors_own_thread_run_in_a_later_step_and_in_order") {
    executor used({}, test_kernel());
    std::vector<int> order;
    used.run([](executor& home, std::vector<int>& to) -> task<> {
        for (int i = 0; i < 5; ++i) home.post([&to, i] { to.push_back(i); });
        CHECK(to.empty());
        co_await next_turn{};
        CHECK(to == std::vector<int>{0, 1, 2, 3, 4});
    }(used, order));
}

TEST_CASE("what_was_posted_before_run_runs_in_it") {
    executor used({}, test_kernel());
    gate opened;
    used.post([&] { opened.open(); });
    used.run(wait_for(opened));
    check_baseline(used);
}

TEST_CASE("an_intrusive_post_can_be_posted_again_once_it_has_run") {
    struct counting final : posted_work {
        int runs = 0;
        void run() noexcept override { ++runs; }
    } work;
    executor used({}, test_kernel());
    used.run([](executor& home, counting& posted) -> task<> {
        for (int i = 1; i <= 3; ++i) {
            home.post(posted);
            co_await next_turn{};
            CHECK(posted.runs == i);
        }
    }(used, work));
}

TEST_CASE("a_function_that_runs_is_no_live_task") {
    executor used({}, test_kernel());
    std::uint32_t live = 99;
    used.run([](executor& home, std::uint32_t& within) -> task<> {
        home.post([&] { within = home.stats().live_tasks; });
        co_await next_turn{};
        CHECK(within == home.stats().live_tasks);
    }(used, live));
}

TEST_CASE("posts_between_two_runs_run_in_the_second_one") {
    executor used({}, test_kernel());
    int runs = 0;
    used.run([]() -> task<> { co_return; }());
    used.post([&] { ++runs; });
    used.run([]() -> task<> { co_await next_turn{}; }());
    CHECK(runs == 1);
}

TEST_CASE("posts_after_the_last_run_run_when_the_executor_is_destroyed") {
    struct marking final : posted_work {
        bool ran = false;
        void run() noexcept override { ran = true; }
    } intrusive;
    auto captured = std::make_shared<int>(1);
    bool ran = false;
    const bool has_run = GENERATE(false, true);
    {
        executor used({}, test_kernel());
        if (has_run) used.run([]() -> task<> { co_return; }());
        used.post([captured, &ran] { ran = true; });
        used.post(intrusive);
    }
    CHECK(ran);
    CHECK(intrusive.ran);
    CHECK(captured.use_count() == 1);
}

TEST_CASE("a_sleeping_executor_is_signalled_once_however_many_threads_post", "[linux]") {
    struct counting final : forwarding_kernel {
        std::atomic<int> signals = 0;
        void signal_event(int descriptor) noexcept override {
            ++signals;
            forwarding_kernel::signal_event(descriptor);
        }
    } counted;
    struct nothing final : posted_work {
        void run() noexcept override {}
    };
    inbox used(counted);
    std::array<nothing, 64> work;

    for (std::size_t i = 0; i < 8; ++i) used.post(work[i]);
    CHECK(counted.signals == 0); // nobody sleeps
    used.run_all();

    used.about_to_sleep();
    std::vector<std::thread> posters;
    for (std::size_t number = 0; number < 4; ++number) {
        posters.emplace_back([&, number] {
            for (std::size_t i = 0; i < 16; ++i) used.post(work[number * 16 + i]);
        });
    }
    for (std::thread& poster : posters) poster.join();
    CHECK(counted.signals == 1);
    used.awake();
    used.run_all();
    CHECK(used.empty());
}

TEST_CASE("posts_that_are_withdrawn_do_not_run_and_the_others_run_in_order") {
    struct noting final : posted_work {
        std::vector<int>* to = nullptr;
        int number = 0;
        void run() noexcept override { to->push_back(number); }
    };
    std::vector<int> ran;
    std::array<noting, 6> work;
    for (std::size_t i = 0; i < work.size(); ++i) {
        work[i].to = &ran;
        work[i].number = static_cast<int>(i);
    }
    inbox used(linux_kernel());
    for (std::size_t i = 0; i < 4; ++i) used.post(work[i]);
    used.withdraw(work[1]);
    CHECK_FALSE(used.empty());
    used.post(work[4]);
    used.post(work[5]);
    used.withdraw(work[5]);
    used.withdraw(work[0]);
    used.run_all();
    CHECK(ran == std::vector<int>{2, 3, 4});
    CHECK(used.empty());
    used.post(work[1]);
    used.withdraw(work[1]);
    CHECK(used.empty());
    used.run_all();
    used.post(work[1]);
    used.run_all();
    CHECK(ran == std::vector<int>{2, 3, 4, 1});
}

TEST_CASE("a_post_can_be_withdrawn_by_one_that_runs_before_it") {
    struct withdrawing final : posted_work {
        inbox* from = nullptr;
        posted_work* other = nullptr;
        int runs = 0;
        void run() noexcept override {
            ++runs;
            if (other != nullptr) from->withdraw(*other);
        }
    };
    inbox used(linux_kernel());
    std::array<withdrawing, 3> work;
    work[0].from = &used;
    work[0].other = &work[1];
    for (withdrawing& each : work) used.post(each);
    used.run_all();
    CHECK(work[0].runs == 1);
    CHECK(work[1].runs == 0);
    CHECK(work[2].runs == 1);
}

TEST_CASE("before_a_sleep_the_inbox_is_looked_at_while_another_thread_keeps_posting", "[linux]") {
    inbox_over<watched_memory> box(test_kernel());
    counted_work work;
    const auto looks_of = [](auto&& call) {
        watched_memory::looks = 0;
        call();
        return watched_memory::looks;
    };

    // Nobody has posted; or the executor itself.
    CHECK(looks_of([&] { CHECK_FALSE(box.comes_soon()); }) == 0);
    box.post_here(work);
    box.run_all();
    CHECK(looks_of([&] { CHECK_FALSE(box.comes_soon()); }) == 0);

    // Another one has, and does again at the third look.
    box.post(work);
    box.run_all();
    watched_memory::other_thread = [&] {
        if (watched_memory::looks == 3) box.post(work);
    };
    CHECK(looks_of([&] { CHECK(box.comes_soon()); }) == 3);
    box.run_all();
    CHECK(work.ran == 3);
    watched_memory::other_thread = nullptr;

    // It posts and does not post again: after a few times only some sleeps are put off, and one that was worth it brings all back.
    const auto sleeps_put_off = [&](int posts) {
        int put_off = 0;
        for (int at = 0; at < posts; ++at) {
            box.post(work);
            box.run_all();
            if (looks_of([&] { CHECK_FALSE(box.comes_soon()); }) != 0) ++put_off;
        }
        return put_off;
    };
    CHECK(sleeps_put_off(8) == 8);
    CHECK(sleeps_put_off(320) == 10);
    box.post(work);
    box.run_all();
    watched_memory::other_thread = [&] { box.post(work); };
    while (!box.comes_soon()) {
        box.post(work);
        box.run_all();
    }
    watched_memory::other_thread = nullptr;
    box.run_all();
    CHECK(sleeps_put_off(8) == 8);
}
