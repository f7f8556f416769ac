#include "executors.hpp"
#include "runtime/steps.hpp"

#include <optional>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<> acquire_and_note(semaphore& of, std::uint32_t count, std::vector<std::uint32_t>& order) {
    result<permit> held = co_await of.acquire(count);
    if (!held) co_return;
    order.push_back(count);
    held->forget();
}

} // namespace

TEST_CASE("who_wants_many_permits_is_not_passed_by_those_that_want_few") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        semaphore of(2);
        std::vector<std::uint32_t> order;
        task_group group(co_await this_scope{});
        group.spawn(acquire_and_note(of, 1, order));
        group.spawn(acquire_and_note(of, 3, order));
        group.spawn(acquire_and_note(of, 2, order));
        co_await everybody_waits();
        CHECK(order == std::vector{1U});
        CHECK(of.available() == 1);
        CHECK_FALSE(of.try_acquire().has_value());
        of.release(2);
        co_await everybody_waits();
        CHECK(order == std::vector{1U, 3U});
        of.release(2);
        co_await group.join();
        CHECK(order == std::vector{1U, 3U, 2U});
        CHECK(of.available() == 0);
    }());
    check_baseline(used);
}

TEST_CASE("when_the_first_in_line_is_cancelled_those_behind_get_what_is_there") {
    executor used({}, test_kernel());
    used.run([](bool is_destroyed) -> task<> {
        semaphore of(2);
        std::vector<std::uint32_t> order;
        std::optional<task_group> first(std::in_place, co_await this_scope{});
        first->spawn(acquire_and_note(of, 3, order));
        co_await everybody_waits();
        task_group group(co_await this_scope{});
        group.spawn(acquire_and_note(of, 1, order));
        co_await everybody_waits();
        CHECK(order.empty());
        if (is_destroyed) {
            first.reset();
        } else {
            first->cancel();
            co_await first->join();
        }
        co_await group.join();
        CHECK(order == std::vector{1U});
        CHECK(of.try_acquire().has_value());
    }(GENERATE(false, true)));
    check_baseline(used);
}

TEST_CASE("a_permit_is_given_back_at_its_end_unless_it_is_forgotten") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        semaphore of(3);
        {
            result<permit> held = co_await of.acquire(2);
            CHECK(of.available() == 1);
            permit moved = std::move(*held);
            CHECK_FALSE(*held);
            CHECK(moved);
        }
        CHECK(of.available() == 3);
        {
            result<permit> held = co_await of.acquire();
            held->forget();
        }
        CHECK(of.available() == 2);
        of.release(semaphore::most);
        CHECK(of.available() == semaphore::most); // no more than that
    }());
    check_baseline(used);
}

TEST_CASE("readers_share_a_mutex_and_writers_do_not") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        chainring::shared_mutex lock;
        std::vector<std::string> order;
        event seen;
        const auto reads = [](auto& of, auto& log, event& until) -> task<> {
            const result<scoped_lock> held = co_await of.lock_shared();
            log.emplace_back("read");
            (void)co_await until.wait();
        };
        const auto writes = [](auto& of, auto& log) -> task<> {
            const result<scoped_lock> held = co_await of.lock();
            log.emplace_back("write");
            CHECK_FALSE(of.try_lock_shared().has_value());
            co_await everybody_waits();
            log.emplace_back("written");
        };
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(reads(lock, order, seen));
            group.spawn(reads(lock, order, seen));
            group.spawn(writes(lock, order));
            group.spawn(reads(lock, order, seen)); // behind the writer, although others read
            co_await everybody_waits();
            CHECK(order == std::vector<std::string>{"read", "read"});
            CHECK_FALSE(lock.try_lock_shared().has_value());
            seen.set();
        });
        CHECK(order == std::vector<std::string>{"read", "read", "write", "written", "read"});
        const std::optional<scoped_lock> one = lock.try_lock_shared();
        const std::optional<scoped_lock> two = lock.try_lock_shared();
        CHECK(one.has_value());
        CHECK(two.has_value());
        CHECK_FALSE(lock.try_lock().has_value());
    }());
    check_baseline(used);
}

TEST_CASE("readers_and_writers_of_two_executors_never_meet", "[linux]") {
    static constexpr int rounds = optimized ? 500 : 50;
    chainring::shared_mutex lock;
    std::atomic<int> readers = 0;
    std::atomic<int> writers = 0;
    std::atomic<int> wrong = 0;
    on_executors(2, [&](int) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < 8; ++number)
                group.spawn([](auto& of, auto& reading, auto& writing, auto& errors, int own) -> task<> {
                    for (int round = 0; round < rounds; ++round) {
                        if ((own + round) % 4 == 0) {
                            const result<scoped_lock> held = co_await of.lock();
                            if (++writing != 1 || reading != 0) ++errors;
                            co_await yield();
                            --writing;
                        } else {
                            const result<scoped_lock> held = co_await of.lock_shared();
                            ++reading;
                            if (writing != 0) ++errors;
                            co_await yield();
                            --reading;
                        }
                    }
                }(lock, readers, writers, wrong, number));
            co_return;
        });
    });
    CHECK(wrong == 0);
    CHECK(lock.try_lock().has_value());
}

TEST_CASE("permits_given_to_tasks_that_are_cancelled_on_another_executor_are_not_lost", "[linux]") {
    static constexpr int rounds = optimized ? 3000 : 300;
    semaphore of(2);
    std::atomic<int> resumed = 0;
    on_executors(2, [&](int number) -> task<> {
        for (int round = 0; round < rounds; ++round) {
            task_group group(co_await this_scope{});
            for (std::uint32_t count = 1; count <= 2; ++count)
                group.spawn([](semaphore& from, auto& ended, std::uint32_t many) -> task<> {
                    const result<permit> held = co_await from.acquire(many);
                    ++ended;
                    if (held) co_await yield();
                }(of, resumed, count));
            for (int step = 0; step < (round + number) % 5; ++step) co_await yield();
            group.cancel();
            co_await group.join();
        }
    });
    CHECK(resumed == 2 * 2 * rounds);
    CHECK(of.available() == 2);
}
