// Everything that a task can wait in (race_case.hpp).
//
// The operations are those that the headers have: the list is made from them.
#include "race_case.hpp"

#include <signal.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <bool until_a_time> class sleeps final : public race_case {
    task<std::error_code> operate() override {
        const duration time = std::chrono::microseconds(random_() % 100);
        result<void> slept;
        if constexpr (until_a_time)
            slept = co_await sleep_until(executor::current()->now() + time);
        else
            slept = co_await sleep(time);
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

task<result<int>> read_or_end(int from, std::span<char> into) {
    const int read = co_await try_(read_into(from, into));
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
        if (!pair_) pair_.emplace(co_await pair_for_a_race<Over>());
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

enum class sends_by { send, write, send_without_a_copy };

// What arrives is what the results claim. What is sent is of each kind in turn.
template <class Over, sends_by way> class sends final : public race_case {
    task<> prepare() override {
        if (!pair_) {
            if constexpr (way == sends_by::send_without_a_copy) {
                pair_.emplace(
                    co_await connected_to_plain<Over>(65'536)); // loopback copies where buffers are small
                must(pair_->stream.set_zero_copy(1));
            } else {
                pair_.emplace(co_await pair_for_a_race<Over>());
            }
            pair_->stream.set_send_marks({.high_bytes = 1, .low_bytes = 0});
            claimed_ = arrived_ = 0;
        }
        if constexpr (!carries_bytes<Over> && becomes_full<Over>) fill(pair_->stream.native_handle());
    }
    task<std::error_code> operate() override {
        const std::string text(size, 'x');
        const byte_span pieces[] = {bytes_of(text).first(size / 2), bytes_of(text).subspan(size / 2)};
        const std::span<const std::byte> bytes = bytes_of(text);
        std::error_code error;
        switch (++kind_ % 5) {
        case 0: error = co_await operate_with(std::string_view(text)); break;
        case 1: error = co_await operate_with(byte_spans(pieces)); break;
        case 2: error = co_await operate_with(std::string(text)); break;
        case 3: error = co_await operate_with(std::vector<std::byte>(bytes.begin(), bytes.end())); break;
        default: error = co_await operate_with(shared_message(text)); break;
        }
        co_return error;
    }
    template <class Message> task<std::error_code> operate_with(Message message) {
        if constexpr (way == sends_by::write) {
            const result<void> written = co_await pair_->stream.write(std::move(message));
            if (written) claimed_ += size;
            co_return ended(written);
        } else {
            auto sending = pair_->stream.send(std::move(message));
            const result<std::size_t> sent = co_await sending;
            claimed_ += sending.sent();
            broken_ = sending.sent() != 0 && !sent;
            if (broken_) co_return make_error_code(errc::cancelled); // a part of it: the stream is broken
            co_return ended(sent);
        }
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code) override {
        if (broken_) { // and so closed, once all that was sent is on its way
            CHECK(carries_bytes<Over>);
            const std::string rest = co_await read_plain_to_end(pair_->peer);
            CHECK(arrived_ + rest.size() == claimed_);
            CHECK_FALSE(pair_->stream.is_open());
            pair_->peer.reset();
            pair_.reset();
            broken_ = false;
            co_return;
        }
        co_await until([this] {
            arrived_ += read_each_x(pair_->peer);
            return arrived_ >= claimed_;
        });
        CHECK(arrived_ == claimed_);
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    static constexpr std::size_t size =
        carries_bytes<Over> ? 20'000 : 1000; // more than the socket takes, or a message
    std::optional<stream_and_peer<Over>> pair_;
    std::size_t claimed_ = 0;
    std::size_t arrived_ = 0;
    unsigned kind_ = 0;
    bool broken_ = false;
};

enum class accepts_by { accept, stream, direct_descriptor };

template <class Over, accepts_by way> class accepts final : public race_case {
    task<> prepare() override {
        if (!listener_.is_open()) {
            listen_options options;
            options.direct_descriptors = way == accepts_by::direct_descriptor;
            listener_ = must(Over::listener::bind(Over::somewhere(), options));
            if constexpr (way == accepts_by::stream) ahead_.emplace(listener_);
        }
        co_return;
    }
    auto next() {
        if constexpr (way == accepts_by::stream)
            return ahead_->next();
        else
            return listener_.accept();
    }
    task<std::error_code> operate() override {
        const auto accepted = co_await next();
        co_return ended(accepted);
    }
    void complete() override {
        peer_ = plain_socket::connected_to(must(listener_.local()), 0, Over::stream::kind.type);
    }
    task<> check(std::error_code error) override {
        if (error) must(co_await next()); // it was not lost
        peer_.reset();
    }
    task<> finish() override {
        ahead_.reset();
        must(co_await listener_.close());
        listener_ = {};
    }
    typename Over::listener listener_;
    std::optional<connection_stream<typename Over::stream>> ahead_;
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
    plain_socket at_ = non_blocking(plain_socket::listening(Over::somewhere(), 100, Over::stream::kind.type));
};

// Nobody has to take it.
template <class Over> class connects_datagrams final : public race_case {
    task<std::error_code> operate() override {
        const auto connected = co_await Over::stream::connect(at_.local());
        co_return ended(connected);
    }
    plain_socket at_ = plain_socket::bound(Over::somewhere(), SOCK_DGRAM);
};

template <class Over> class closes final : public race_case {
    task<> prepare() override {
        pair_.emplace(co_await pair_for_a_race<Over>());
        if constexpr (!carries_bytes<Over> && becomes_full<Over>) fill(pair_->stream.native_handle());
        must(co_await pair_->stream.write(std::string(size, 'x')));
        arrived_ = 0;
    }
    task<std::error_code> operate() override {
        const result<void> closed = co_await pair_->stream.close(1h);
        co_return ended(closed);
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code error) override {
        if (pair_->stream.is_open()) { // cancelled before it began
            CHECK(error == errc::cancelled);
            pair_->stream.abort();
        }
        if constexpr (carries_datagrams<Over>) { // which have no end
            arrived_ += read_each_x(pair_->peer);
        } else {
            const std::string rest = co_await read_plain_to_end(pair_->peer);
            arrived_ += static_cast<std::size_t>(std::ranges::count(rest, 'x'));
        }
        if (!error) CHECK(arrived_ == size);
        pair_->peer.reset();
        pair_.reset();
    }
    static constexpr std::size_t size = carries_bytes<Over> ? 10'000 : 1000;
    std::optional<stream_and_peer<Over>> pair_;
    std::size_t arrived_ = 0;
};

// The one whose connection nobody took sees its end.
template <class Over> class closes_a_listener final : public race_case {
    task<> prepare() override {
        listener_ = must(Over::listener::bind(Over::somewhere()));
        peer_ = plain_socket::connected_to(must(listener_.local()), 0, Over::stream::kind.type);
        co_return;
    }
    task<std::error_code> operate() override {
        const result<void> closed = co_await listener_.close();
        co_return ended(closed);
    }
    task<> check(std::error_code error) override {
        if (listener_.is_open()) { // cancelled before it began
            CHECK(error == errc::cancelled);
            must(co_await listener_.close());
        }
        const std::string nothing = co_await read_plain_to_end(peer_);
        CHECK(nothing.empty());
        peer_.reset();
    }
    typename Over::listener listener_;
    plain_socket peer_;
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

template <class Over> using accepts_one = accepts<Over, accepts_by::accept>;
template <class Over> using accepts_of_a_stream = accepts<Over, accepts_by::stream>;
template <class Over> using receives_a_lease = receives<Over, false>;
template <class Over> using receives_into_memory = receives<Over, true>;
template <class Over> using sends_a_message = sends<Over, sends_by::send>;
template <class Over> using writes_a_message = sends<Over, sends_by::write>;

// For each operation of the headers; one that has no case here is a compile error.
cases cases_of_async_generator_next() {
    return each<reads_a_pipe<read_by_a_generator>>();
}
cases cases_of_child_outcome() {
    return each<awaits_a_child>();
}
cases cases_of_connected_datagram_connect() {
    return each<connects_datagrams<over_udp>, connects_datagrams<over_unix_datagrams>>();
}
cases cases_of_connection_stream_next() {
    return over_each_connection<accepts_of_a_stream>();
}
cases cases_of_interval_tick() {
    return each<ticks>();
}
cases cases_of_listener_accept() {
    return over_each_connection<accepts_one>() + each<accepts<over_tcp, accepts_by::direct_descriptor>>();
}
cases cases_of_listener_close() {
    return over_each_connection<closes_a_listener>();
}
cases cases_of_offload() {
    return each<offloads>();
}
cases cases_of_seqpacket_stream_connect() {
    return each<connects<over_seqpacket>>();
}
cases cases_of_signal_set_next() {
    return each<awaits_a_signal>();
}
cases cases_of_sleep() {
    return each<sleeps<false>>();
}
cases cases_of_sleep_until() {
    return each<sleeps<true>>();
}
cases cases_of_stream_close() {
    return sharing_rounds(over_each_socket<closes>());
}
cases cases_of_stream_receive() {
    return over_each_socket<receives_a_lease>();
}
cases cases_of_stream_receive_into() {
    return over_each_socket<receives_into_memory>();
}
cases cases_of_stream_send() {
    return sharing_rounds(
        over_each_socket<sends_a_message>() + each<sends<over_tcp, sends_by::send_without_a_copy>>());
}
cases cases_of_stream_write() {
    return sharing_rounds(over_each_socket<writes_a_message>());
}
cases cases_of_task() {
    return each<reads_a_pipe<read_in_a_task>>();
}
cases cases_of_task_group_join() {
    return each<reads_a_pipe<read_by_a_child>>();
}
cases cases_of_task_group_spawn_bounded() {
    return each<spawns>();
}
cases cases_of_tcp_stream_connect() {
    return each<connects<over_tcp>>();
}
cases cases_of_try_() {
    return each<reads_a_pipe<read_or_end>>();
}
cases cases_of_unix_stream_connect() {
    return each<connects<over_unix>>();
}
cases cases_of_uring() {
    return each<reads_a_pipe<read_plainly>>();
}
cases cases_of_yield() {
    return each<yields>();
}

} // namespace

#define OPERATION(name)                                                                                      \
    TEST_CASE("a_cancel_against_the_completion_of_" #name) {                                                 \
        run_all(cases_of_##name(), GENERATE(both_modes()));                                                  \
    }
#include "operations.inc"
