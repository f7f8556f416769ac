// broadcast and watch: what every receiver sees.
#include "executors.hpp"
#include "runtime/steps.hpp"

#include <stdexcept>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

TEST_CASE("each_receiver_of_a_broadcast_sees_every_value_and_hears_how_many_it_missed") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        broadcast<int> values(3);
        auto first = values.subscribe();
        CHECK(first.try_receive() == failure(errc::queue_empty));
        for (int value = 1; value <= 3; ++value) CHECK(values.send(value).has_value());
        auto second = values.subscribe();
        for (int value = 1; value <= 2; ++value) {
            const result<int> seen = co_await first.receive();
            CHECK(seen == value);
        }
        for (int value = 4; value <= 8; ++value) CHECK(values.send(value).has_value());
        const result<int> lagged = co_await first.receive();
        CHECK(lagged == failure(errc::lagged));
        CHECK(first.missed() == 3); // 3, 4 and 5
        const result<int> oldest = co_await first.receive();
        CHECK(oldest == 6);
        CHECK(second.try_receive() == failure(errc::lagged));
        CHECK(second.missed() == 2);
        values.close();
        CHECK(values.send(9) == failure(errc::closed));
        for (int value = 7; value <= 8; ++value) CHECK(first.try_receive() == value);
        const result<int> end = co_await first.receive();
        CHECK(end == failure(errc::closed));
        CHECK_THROWS_AS(broadcast<int>(0), std::invalid_argument);
    }());
    check_baseline(used);
}

TEST_CASE("receivers_of_a_broadcast_wait_for_the_next_value") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        broadcast<std::string> values(2);
        std::vector<std::string> seen;
        const auto receives = [](broadcast_receiver<std::string> from, auto& log) -> task<> {
            const result<std::string> value = co_await from.receive();
            log.push_back(value ? *value : value.error().message());
        };
        task_group group(co_await this_scope{});
        group.spawn(receives(values.subscribe(), seen));
        group.spawn(receives(values.subscribe(), seen));
        co_await everybody_waits();
        CHECK(values.send("news").has_value());
        co_await group.join();
        CHECK(seen == std::vector<std::string>{"news", "news"});
        auto one = values.subscribe();
        const result<std::string> late = co_await timeout(1ms, one.receive());
        CHECK(late == failure(errc::timed_out));
        group.spawn(receives(values.subscribe(), seen));
        co_await everybody_waits();
        values.close();
        co_await group.join();
        CHECK(seen.back() == std::error_code(errc::closed).message());
    }());
    check_baseline(used);
}

TEST_CASE("what_a_receiver_of_a_broadcast_sees_and_misses_is_all_that_was_sent", "[linux]") {
    static constexpr int count = optimized ? 20'000 : 1000;
    broadcast<int> values(8);
    std::atomic<int> ready = 0;
    std::atomic<int> wrong = 0;
    on_executors(2, [&](int number) -> task<> {
        if (number == 0) {
            while (ready < 3) co_await yield();
            for (int value = 0; value < count; ++value) {
                (void)values.send(value);
                if (value % 5 == 0) co_await yield();
            }
            values.close();
            co_return;
        }
        co_await scope([&](task_group& group) -> task<> {
            for (int own = 0; own < 3; ++own)
                group.spawn([](auto from, auto& subscribed, auto& errors) -> task<> {
                    ++subscribed;
                    std::uint64_t next = 0;
                    for (;;) {
                        const result<int> value = co_await from.receive();
                        if (value && static_cast<std::uint64_t>(*value) == next)
                            ++next;
                        else if (!value && value.error() == errc::lagged)
                            next += from.missed();
                        else
                            break;
                    }
                    if (next != count) ++errors;
                }(values.subscribe(), ready, wrong));
            co_return;
        });
    });
    CHECK(wrong == 0);
}

TEST_CASE("a_receiver_of_a_watch_sees_the_latest_value") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        watch<int> current(1);
        auto changes = current.subscribe();
        CHECK(current.get() == 1);
        CHECK(current.set(2).has_value());
        CHECK(current.set(3).has_value());
        const result<int> latest = co_await changes.changed();
        CHECK(latest == 3);
        const result<int> unchanged = co_await timeout(1ms, changes.changed());
        CHECK(unchanged == failure(errc::timed_out));
        task_group group(co_await this_scope{});
        int seen = 0;
        group.spawn([](auto& of, int& value) -> task<> {
            const result<int> next = co_await of.changed();
            value = *next;
        }(changes, seen));
        co_await everybody_waits();
        CHECK(current.set(4).has_value());
        CHECK(current.set(5).has_value());
        co_await group.join();
        CHECK(seen == 5);
        CHECK(current.set(6).has_value());
        current.close();
        CHECK(current.set(7) == failure(errc::closed));
        const result<int> last = co_await changes.changed();
        CHECK(last == 6);
        const result<int> end = co_await changes.changed();
        CHECK(end == failure(errc::closed));
    }());
    check_baseline(used);
}

TEST_CASE("a_watch_brings_the_last_value_to_other_executors", "[linux]") {
    static constexpr int count = optimized ? 20'000 : 1000;
    watch<int> current(0);
    std::atomic<bool> ready = false;
    std::atomic<int> last = 0;
    on_executors(2, [&](int number) -> task<> {
        if (number == 0) {
            while (!ready) co_await yield();
            for (int value = 1; value <= count; ++value) (void)current.set(value);
            current.close();
            co_return;
        }
        auto changes = current.subscribe();
        ready = true;
        while (auto value = co_await changes.changed()) last = *value > last ? *value : -1;
    });
    CHECK(last == count);
}
