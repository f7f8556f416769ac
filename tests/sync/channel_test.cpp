#include "executors.hpp"
#include "runtime/steps.hpp"

#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

task<> send_and_note(channel<int>& to, int value, std::vector<std::string>& ended) {
    const result<void> sent = co_await to.send(value);
    ended.push_back(std::to_string(value) + (sent ? " sent" : " " + sent.error().message()));
}
task<> receive_and_note(channel<int>& from, std::vector<int>& values) {
    const result<int> value = co_await from.receive();
    values.push_back(value ? *value : -1);
}

// A value whose moves throw when they are to.
struct throws_on_move {
    explicit throws_on_move(int given)
        : number(given) {}
    throws_on_move(
        throws_on_move&& other) // NOLINT(bugprone-exception-escape,performance-noexcept-move-constructor)
        : number(other.number) {
        if (moves_until_throw_ > 0 && --moves_until_throw_ == 0) throw std::runtime_error("moved");
    }
    int number;
    static inline int moves_until_throw_ = 0; // 0: none does
};

template <class Operation> task<bool> throws(Operation operation) {
    try {
        (void)co_await operation;
    } catch (const std::runtime_error&) {
        co_return true;
    }
    co_return false;
}

} // namespace

TEST_CASE("a_channel_keeps_values_up_to_its_capacity_and_then_senders_wait") {
    executor used({}, test_kernel());
    used.run([](std::size_t capacity) -> task<> {
        channel<int> values(capacity);
        std::vector<std::string> ended;
        std::vector<int> received;
        task_group group(co_await this_scope{});
        for (int value = 1; value <= 5; ++value) group.spawn(send_and_note(values, value, ended));
        co_await everybody_waits();
        CHECK(ended.size() == capacity);
        const result<void> refused = values.try_send(6);
        CHECK(refused == failure(errc::queue_full));
        for (int count = 0; count < 5; ++count) co_await receive_and_note(values, received);
        co_await group.join();
        CHECK(received == std::vector{1, 2, 3, 4, 5});
        CHECK(ended == std::vector<std::string>{"1 sent", "2 sent", "3 sent", "4 sent", "5 sent"});
        const result<int> nothing_there = values.try_receive();
        CHECK(nothing_there == failure(errc::queue_empty));
    }(GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{3})));
    check_baseline(used);
}

TEST_CASE("receivers_of_a_channel_are_served_in_the_order_of_asking") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        channel<int> values(1);
        std::vector<int> first;
        std::vector<int> second;
        task_group group(co_await this_scope{});
        group.spawn(receive_and_note(values, first));
        group.spawn(receive_and_note(values, second));
        co_await everybody_waits();
        for (int value = 1; value <= 3; ++value) {
            const result<void> sent = values.try_send(value);
            CHECK(sent.has_value());
        }
        co_await group.join();
        CHECK(first == std::vector{1});
        CHECK(second == std::vector{2});
        const result<int> third = values.try_receive();
        CHECK(third == 3);
    }());
    check_baseline(used);
}

TEST_CASE("a_channel_that_is_closed_is_emptied_and_then_ends") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        channel<int> values(2);
        std::vector<std::string> ended;
        std::vector<int> received;
        task_group group(co_await this_scope{});
        for (int value = 1; value <= 3; ++value) group.spawn(send_and_note(values, value, ended));
        co_await everybody_waits();
        values.close();
        values.close();
        co_await group.join();
        const std::string closed = " " + std::error_code(errc::closed).message();
        CHECK(ended == std::vector<std::string>{"1 sent", "2 sent", "3" + closed});
        const result<void> refused = values.try_send(4);
        CHECK(refused == failure(errc::closed));
        while (auto value = co_await values.receive()) received.push_back(*value);
        CHECK(received == std::vector{1, 2});
        const result<int> end = values.try_receive();
        CHECK(end == failure(errc::closed));

        channel<int> empty(2);
        group.spawn(receive_and_note(empty, received));
        co_await everybody_waits();
        empty.close();
        co_await group.join();
        CHECK(received.back() == -1);
    }());
    check_baseline(used);
}

TEST_CASE("values_need_only_be_movable_and_one_that_was_not_sent_is_with_its_sender") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        channel<std::unique_ptr<int>> values(1);
        auto first = co_await values.send(std::make_unique<int>(1));
        CHECK(first.has_value());
        auto second = values.send(std::make_unique<int>(2));
        const result<void> late = co_await timeout(1ms, values.send(std::make_unique<int>(3)));
        CHECK(late == failure(errc::timed_out));
        values.close();
        const result<void> refused = co_await second;
        CHECK(refused == failure(errc::closed));
        CHECK(*second.value() == 2);
        auto kept = std::make_unique<int>(4);
        const result<void> not_sent = values.try_send(std::move(kept));
        CHECK(not_sent == failure(errc::closed));
        CHECK(kept != nullptr); // NOLINT(bugprone-use-after-move)
        auto received = co_await values.receive();
        REQUIRE(received.has_value());
        CHECK(**received == 1);
    }());
    check_baseline(used);
}

TEST_CASE("who_is_cancelled_at_a_channel_has_sent_or_received_nothing") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        channel<int> values(1);
        std::vector<std::string> ended;
        std::vector<int> received;
        task_group cancelled(co_await this_scope{});
        cancelled.spawn(receive_and_note(values, received));
        co_await everybody_waits();
        cancelled.cancel();
        co_await cancelled.join();
        CHECK(received == std::vector{-1});
        CHECK(values.try_send(1).has_value());
        task_group senders(co_await this_scope{});
        senders.spawn(send_and_note(values, 2, ended));
        co_await everybody_waits();
        senders.cancel();
        co_await senders.join();
        CHECK(ended == std::vector{"2 " + std::error_code(errc::cancelled).message()});
        CHECK(values.try_receive() == 1);
        CHECK(values.try_receive() == failure(errc::queue_empty));
    }());
    check_baseline(used);
}

TEST_CASE("a_value_of_a_receiver_that_is_destroyed_is_for_the_next_one") {
    executor used({}, test_kernel());
    used.run([](bool somebody_waits) -> task<> {
        channel<int> values(1);
        std::vector<int> received;
        std::optional<task_group> destroyed(std::in_place, co_await this_scope{});
        destroyed->spawn(receive_and_note(values, received));
        co_await everybody_waits();
        task_group group(co_await this_scope{});
        if (somebody_waits) {
            group.spawn(receive_and_note(values, received));
            co_await everybody_waits();
        }
        CHECK(values.try_send(1).has_value());
        if (!somebody_waits) CHECK(values.try_send(2).has_value());
        destroyed.reset();
        if (!somebody_waits) {
            co_await receive_and_note(values, received);
            co_await receive_and_note(values, received);
        }
        co_await group.join();
        CHECK(received == (somebody_waits ? std::vector{1} : std::vector{1, 2}));
    }(GENERATE(false, true)));
    check_baseline(used);
}

TEST_CASE("a_move_that_throws_comes_out_of_the_await_that_moved_and_the_channel_goes_on") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        using value = throws_on_move;
        channel<value> values(1);

        // Into the channel: it is not sent.
        auto first = values.send(value(1));
        value::moves_until_throw_ = 1;
        bool threw = co_await throws<decltype(first)&>(first);
        CHECK(threw);
        CHECK(first.value().number == 1);
        CHECK_FALSE(values.try_receive().has_value());

        // Out of the channel: it is still there.
        CHECK(values.try_send(value(2)).has_value());
        auto second = values.receive();
        value::moves_until_throw_ = 1;
        threw = co_await throws<decltype(second)&>(second);
        CHECK(threw);
        const result<value> again = values.try_receive();
        CHECK(again->number == 2);

        // From there to who receives: it is still there too, before those behind it.
        channel<value> two(2);
        CHECK(two.try_send(value(7)).has_value());
        CHECK(two.try_send(value(8)).has_value());
        auto third_try = two.receive();
        value::moves_until_throw_ = 2;
        threw = co_await throws<decltype(third_try)&>(third_try);
        CHECK(threw);
        value::moves_until_throw_ = 2;
        threw = false;
        try {
            (void)two.try_receive();
        } catch (const std::runtime_error&) {
            threw = true;
        }
        CHECK(threw);
        for (const int number : {7, 8}) {
            const result<value> kept = two.try_receive();
            REQUIRE(kept.has_value());
            CHECK(kept->number == number);
        }

        // Of a value that waits, by the one that makes room for it.
        CHECK(values.try_send(value(3)).has_value());
        bool sender_heard = false;
        task_group group(co_await this_scope{});
        group.spawn([](auto& to, bool& heard) -> task<> {
            auto waiting = to.send(value(4));
            heard = co_await throws<decltype(waiting)&>(waiting);
        }(values, sender_heard));
        co_await everybody_waits();
        value::moves_until_throw_ = 2;
        const result<value> third = values.try_receive();
        CHECK(third->number == 3);
        co_await group.join();
        CHECK(sender_heard);
        value::moves_until_throw_ = 0;
        CHECK_FALSE(values.try_receive().has_value());

        // To a receiver that waits: the sender hears of it, and the receiver waits on.
        int received = 0;
        group.spawn([](auto& from, int& number) -> task<> {
            const result<value> got = co_await from.receive();
            number = got->number;
        }(values, received));
        co_await everybody_waits();
        value fifth(5);
        value::moves_until_throw_ = 1;
        bool caught = false;
        try {
            (void)values.try_send(std::move(fifth));
        } catch (const std::runtime_error&) {
            caught = true;
        }
        CHECK(caught);
        co_await everybody_waits();
        CHECK(received == 0);
        CHECK(values.try_send(value(6)).has_value());
        co_await group.join();
        CHECK(received == 6);
    }());
    check_baseline(used);
}

TEST_CASE("a_value_on_its_way_from_another_thread_is_not_lost", "[linux]") {
    executor used({}, test_kernel());
    used.run([](bool is_destroyed) -> task<> {
        channel<int> values(1);
        std::vector<int> received;
        std::optional<task_group> group(std::in_place, co_await this_scope{});
        group->spawn(receive_and_note(values, received));
        co_await everybody_waits();
        std::thread([&values] {
            (void)values.try_send(7);
        }).join(); // it lies in the inbox until the next turn
        if (is_destroyed) {
            group.reset();
            CHECK(values.try_receive() == 7);
        } else {
            group->cancel();
            co_await group->join();
            CHECK(received == std::vector{7});
        }
    }(GENERATE(false, true)));
    check_baseline(used);
}

TEST_CASE("threads_that_are_no_executors_send_and_receive_too", "[linux]") {
    static constexpr int count = optimized ? 5000 : 500;
    channel<int> there(4);
    channel<int> back(4);
    long sum = 0;
    std::jthread thread([&] {
        for (;;) {
            result<int> value = there.blocking_receive();
            if (!value || !back.blocking_send(*value)) break;
        }
        back.close();
    });
    executor used({}, test_kernel());
    used.run([](auto& to, auto& from, long& total) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& into) -> task<> {
                for (int value = 1; value <= count; ++value) (void)co_await into.send(value);
                into.close();
            }(to));
            while (auto value = co_await from.receive()) total += *value;
        });
        CHECK_THROWS_AS(from.blocking_receive(), std::logic_error);
    }(there, back, sum));
    CHECK(sum == long{count} * (count + 1) / 2);
    check_baseline(used);
}

TEST_CASE("every_value_of_many_senders_reaches_one_of_many_receivers", "[linux]") {
    static constexpr int tasks = 4;
    static constexpr int each = optimized ? 2000 : 200;
    channel<int> values(GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{16}));
    std::atomic<int> sending = 2 * tasks;
    std::vector<std::atomic<int>> received(std::size_t{2} * tasks * each);
    std::atomic<int> out_of_order = 0;
    on_executors(2, [&](int number) -> task<> {
        co_await scope([&](task_group& group) -> task<> {
            for (int task_number = 0; task_number < tasks; ++task_number) {
                group.spawn([](auto& to, auto& left, int first) -> task<> {
                    for (int value = first; value < first + each; ++value) (void)co_await to.send(value);
                    if (--left == 0) to.close();
                }(values, sending, (number * tasks + task_number) * each));
                group.spawn([](auto& from, auto& seen, auto& wrong) -> task<> {
                    std::vector<int> last(std::size_t{2} * tasks, -1);
                    while (auto value = co_await from.receive()) {
                        ++seen[static_cast<std::size_t>(*value)];
                        int& before = last[static_cast<std::size_t>(*value / each)];
                        if (*value <= before) ++wrong;
                        before = *value;
                    }
                }(values, received, out_of_order));
            }
            co_return;
        });
    });
    CHECK(out_of_order == 0);
    int missing_or_doubled = 0;
    for (const std::atomic<int>& times : received)
        if (times != 1) ++missing_or_doubled;
    CHECK(missing_or_doubled == 0);
}

TEST_CASE("no_value_is_lost_to_receivers_that_are_cancelled_or_destroyed_on_another_executor", "[linux]") {
    static constexpr int count = optimized ? 5000 : 500;
    channel<int> values(2);
    std::atomic<long> sum = 0;
    std::atomic<int> received = 0;
    on_executors(2, [&](int number) -> task<> {
        if (number == 0) {
            for (int value = 1; value <= count; ++value) (void)co_await values.send(value);
            values.close();
            co_return;
        }
        for (int round = 0;; ++round) {
            std::optional<task_group> group(std::in_place, co_await this_scope{});
            bool ended = false;
            group->spawn([](auto& from, auto& total, auto& many, bool& end) -> task<> {
                const result<int> value = co_await from.receive();
                if (value) total += *value;
                if (value) ++many;
                end = !value && value.error() == errc::closed;
            }(values, sum, received, ended));
            for (int step = 0; step < round % 4; ++step) co_await yield();
            if (round % 2 == 0) {
                group->cancel();
                co_await group->join();
            } else {
                group.reset();
            }
            if (ended) break;
        }
    });
    CHECK(received == count);
    CHECK(sum == long{count} * (count + 1) / 2);
}
