// Everything that a task can wait in (race_case.hpp).
//
// The operations are those that the headers have: the list is made from them.
#include "race_case.hpp"

#include <signal.h>

#include <optional>
#include <random>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

class sleeps final : public race_case {
    task<std::error_code> operate() override {
        const result<void> slept = co_await sleep(std::chrono::microseconds(random_() % 100));
        co_return ended(slept);
    }
    std::minstd_rand random_;
};

class ticks final : public race_case {
    task<> prepare() override {
        every_.emplace(std::chrono::microseconds(random_() % 100 + 1));
        co_return;
    }
    task<std::error_code> operate() override {
        const result<time_point> ticked = co_await every_->tick();
        co_return ended(ticked);
    }
    task<> check(std::error_code) override {
        const result<time_point> next = co_await every_->tick(); // cancelled, it is still to come
        CHECK(next.has_value());
    }
    std::minstd_rand random_;
    std::optional<interval> every_;
};

class yields final : public race_case {
    task<std::error_code> operate() override {
        co_await yield();
        co_return std::error_code();
    }
    task<> check(std::error_code error) override {
        CHECK_FALSE(error); // no cancellation reaches it
        co_return;
    }
};

task<result<int>> read_in_a_task(int from, std::span<char> into) {
    const result<int> read = co_await read_plainly(from, into);
    co_return read;
}

task<result<int>> read_in_a_named_task(int from, std::span<char> into) {
    const result<int> read = co_await named("reader", read_plainly(from, into));
    co_return read;
}

task<result<int>> read_or_end(int from, std::span<char> into) {
    const int read = co_await try_(read_into(from, into));
    co_return read;
}

task<result<int>> read_with_a_timeout(int from, std::span<char> into) {
    const result<int> read = co_await timeout(1h, read_into(from, into));
    co_return read;
}

task<result<int>> read_in_a_scope(int from, std::span<char> into) {
    const result<int> read = co_await scope([&](task_group&) -> task<result<int>> {
        const result<int> inner = co_await read_into(from, into);
        co_return inner;
    });
    co_return read;
}

async_generator<result<int>> all_reads(int from, std::span<char> into) {
    result<int> read = co_await read_into(from, into);
    co_yield read;
}

task<result<int>> read_by_a_generator(int from, std::span<char> into) {
    auto all = all_reads(from, into);
    const result<int>* const read = co_await all.next();
    co_return *read;
}

task<result<int>> read_by_a_child(int from, std::span<char> into) {
    result<int> read = 0;
    cancel_scope& here = co_await this_scope{};
    task_group group(here);
    group.spawn([](int descriptor, std::span<char> memory, result<int>& outcome) -> task<> {
        outcome = co_await read_into(descriptor, memory);
    }(from, into, read));
    co_await group.join();
    co_return read;
}

// What the peer sends is received in this round or by the next receive.
template <class Over, bool into_memory> class receives final : public race_case {
    task<> prepare() override {
        if (!pair_) pair_.emplace(co_await connected_to_plain<Over>());
    }
    task<std::error_code> operate() override {
        if constexpr (into_memory) {
            const auto received =
                co_await pair_->stream.receive_into(std::as_writable_bytes(std::span(memory_)));
            if (received) CHECK(*received == 1);
            co_return ended(received);
        } else {
            const auto received = co_await pair_->stream.receive();
            if (received) CHECK(received->text() == "x");
            co_return ended(received);
        }
    }
    void complete() override { CHECK(pair_->peer.send("x")); }
    task<> check(std::error_code error) override {
        if (error) co_await expect(pair_->stream, "x");
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    std::optional<stream_and_peer<Over>> pair_;
    std::array<char, 4> memory_{};
};

// What arrives is what the results claim.
template <class Over, bool buffered> class sends final : public race_case {
    task<> prepare() override {
        if (!pair_) {
            pair_.emplace(co_await connected_to_plain<Over>(4096));
            pair_->stream.set_send_marks({.high_bytes = 1, .low_bytes = 0});
            claimed_ = arrived_ = 0;
        }
    }
    task<std::error_code> operate() override {
        const std::string text(20'000, 'x'); // more than the socket takes
        if constexpr (buffered) {
            const result<void> written = co_await pair_->stream.write(std::string(text));
            if (written) claimed_ += text.size();
            co_return ended(written);
        } else {
            auto sending = pair_->stream.send(std::string_view(text));
            const result<std::size_t> sent = co_await sending;
            claimed_ += sending.sent();
            broken_ = sending.sent() != 0 && !sent;
            if (broken_) co_return make_error_code(errc::cancelled); // a part of it: the stream is broken
            co_return ended(sent);
        }
    }
    void complete() override { arrived_ += pair_->peer.read_now().size(); }
    task<> check(std::error_code) override {
        if (broken_) { // and so closed, once all that was sent is on its way
            const std::string rest = co_await read_plain_to_end(pair_->peer);
            CHECK(arrived_ + rest.size() == claimed_);
            CHECK_FALSE(pair_->stream.is_open());
            pair_->peer.reset();
            pair_.reset();
            broken_ = false;
            co_return;
        }
        co_await until([this] {
            arrived_ += pair_->peer.read_now().size();
            return arrived_ >= claimed_;
        });
        CHECK(arrived_ == claimed_);
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    std::optional<stream_and_peer<Over>> pair_;
    std::size_t claimed_ = 0;
    std::size_t arrived_ = 0;
    bool broken_ = false;
};

template <class Over> class accepts final : public race_case {
    task<> prepare() override {
        if (!listener_.is_open()) listener_ = must(Over::listener::bind(Over::somewhere()));
        co_return;
    }
    task<std::error_code> operate() override {
        const auto accepted = co_await listener_.accept();
        co_return ended(accepted);
    }
    void complete() override { peer_ = plain_socket::connected_to(must(listener_.local())); }
    task<> check(std::error_code error) override {
        if (error) must(co_await listener_.accept()); // it was not lost
        peer_.reset();
    }
    task<> finish() override {
        must(co_await listener_.close());
        listener_ = {};
    }
    typename Over::listener listener_;
    plain_socket peer_;
};

template <class Over> class connects final : public race_case {
    task<std::error_code> operate() override {
        const auto connected = co_await Over::stream::connect(at_.local());
        co_return ended(connected);
    }
    task<> check(std::error_code error) override {
        const int accepted = reset_all_waiting(at_);
        CHECK(accepted <= 1);
        if (!error) CHECK(accepted == 1);
        co_return;
    }
    plain_socket at_ = non_blocking(plain_socket::listening(Over::somewhere(), 100));
};

template <class Over> class closes final : public race_case {
    task<> prepare() override {
        pair_.emplace(co_await connected_to_plain<Over>(4096));
        must(co_await pair_->stream.write(std::string(size, 'x')));
    }
    task<std::error_code> operate() override {
        const result<void> closed = co_await pair_->stream.close(1h);
        co_return ended(closed);
    }
    void complete() override { arrived_ += pair_->peer.read_now().size(); }
    task<> check(std::error_code error) override {
        if (pair_->stream.is_open()) { // cancelled before it began
            CHECK(error == errc::cancelled);
            pair_->stream.abort();
        }
        const std::string rest = co_await read_plain_to_end(pair_->peer);
        if (!error) CHECK(arrived_ + rest.size() == size);
        pair_->peer.reset();
        pair_.reset();
        arrived_ = 0;
    }
    static constexpr std::size_t size = 10'000;
    std::optional<stream_and_peer<Over>> pair_;
    std::size_t arrived_ = 0;
};

class spawns final : public race_case {
    task<> prepare() override {
        cancel_scope& here = co_await this_scope{};
        until_.emplace();
        group_.emplace(here, group_options{.max_children = 1});
        group_->spawn(waits(*until_));
        ran_ = 0;
    }
    task<std::error_code> operate() override {
        const result<void> spawned = co_await group_->spawn_bounded(counts(ran_));
        co_return ended(spawned);
    }
    void complete() override { until_->open(); }
    task<> check(std::error_code error) override {
        co_await group_->join();
        CHECK(ran_ == (error ? 0 : 1));
        group_.reset();
    }
    static task<> waits(gate& until) { co_await until; }
    static task<> counts(int& count) {
        ++count;
        co_return;
    }
    std::optional<gate> until_;
    std::optional<task_group> group_;
    int ran_ = 0;
};

class awaits_a_child final : public race_case {
    task<> prepare() override {
        cancel_scope& here = co_await this_scope{};
        until_.emplace();
        group_.emplace(here);
        child_.emplace(group_->start(answers(*until_)));
    }
    task<std::error_code> operate() override {
        const result<int> answer = co_await child_->outcome();
        if (answer) CHECK(*answer == 7);
        co_return ended(answer);
    }
    void complete() override { until_->open(); }
    task<> check(std::error_code error) override {
        if (error) {
            const result<int> kept = co_await child_->outcome();
            CHECK(kept == 7);
        }
        co_await group_->join();
        group_.reset();
    }
    static task<int> answers(gate& until) {
        co_await until;
        co_return 7;
    }
    std::optional<gate> until_;
    std::optional<task_group> group_;
    std::optional<child<int>> child_;
};

class awaits_a_signal final : public race_case {
    task<> prepare() override {
        if (!set_) set_.emplace(must(signal_set::open({SIGUSR1})));
        co_return;
    }
    task<std::error_code> operate() override {
        const result<int> got = co_await set_->next();
        co_return ended(got);
    }
    void complete() override { ::raise(SIGUSR1); }
    task<> check(std::error_code error) override {
        if (!error) co_return;
        const result<int> kept = co_await set_->next();
        CHECK(kept == SIGUSR1);
    }
    task<> finish() override {
        set_.reset();
        co_return;
    }
    std::optional<signal_set> set_;
};

class offloads final : public race_case {
    task<std::error_code> operate() override {
        ran_ = 0;
        const result<void> done = co_await offload(pool_, [this] { ++ran_; });
        co_return ended(done);
    }
    task<> check(std::error_code error) override {
        CHECK(ran_ == (error ? 0 : 1));
        co_return;
    }
    blocking_pool pool_{{.threads = 2, .queue_limit = 4}};
    int ran_ = 0;
};

template <class Over> using receives_a_lease = receives<Over, false>;
template <class Over> using receives_into_memory = receives<Over, true>;
template <class Over> using sends_text = sends<Over, false>;
template <class Over> using writes_text = sends<Over, true>;

// For each operation of the headers; one that has no case here is a compile error. They share the operation's rounds.
cases cases_of_accept_operation() {
    return over_each_transport<accepts>();
}
cases cases_of_child_operation() {
    return each<awaits_a_child>();
}
cases cases_of_close_operation() {
    return over_each_transport<closes>();
}
cases cases_of_connect_operation() {
    return over_each_transport<connects>();
}
cases cases_of_join_awaiter() {
    return each<reads_a_pipe<read_by_a_child>>();
}
cases cases_of_named_waiter() {
    return each<reads_a_pipe<read_in_a_named_task>>();
}
cases cases_of_next_operation() {
    return each<reads_a_pipe<read_by_a_generator>>();
}
cases cases_of_offload_operation() {
    return each<offloads>();
}
cases cases_of_receive_into_operation() {
    return over_each_transport<receives_into_memory>();
}
cases cases_of_receive_operation() {
    return over_each_transport<receives_a_lease>();
}
cases cases_of_scoped_awaiter() {
    return each<reads_a_pipe<read_in_a_scope>>();
}
cases cases_of_send_operation() {
    return over_each_transport<sends_text>();
}
cases cases_of_signal_operation() {
    return each<awaits_a_signal>();
}
cases cases_of_sleep_operation() {
    return each<sleeps>();
}
cases cases_of_spawn_operation() {
    return each<spawns>();
}
cases cases_of_task_awaiter() {
    return each<reads_a_pipe<read_in_a_task>>();
}
cases cases_of_tick_operation() {
    return each<ticks>();
}
cases cases_of_timed_awaiter() {
    return each<reads_a_pipe<read_with_a_timeout>>();
}
cases cases_of_try_awaiter() {
    return each<reads_a_pipe<read_or_end>>();
}
cases cases_of_uring_operation() {
    return each<reads_a_pipe<read_plainly>>();
}
cases cases_of_write_operation() {
    return over_each_transport<writes_text>();
}
cases cases_of_yield_operation() {
    return each<yields>();
}

} // namespace

#define OPERATION(name)                                                                                      \
    TEST_CASE("a_cancel_against_the_completion_of_" #name) {                                                 \
        run_all(cases_of_##name(), GENERATE(both_modes()));                                                  \
    }
#include "operations.inc"
