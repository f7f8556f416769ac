// Everything that a task can wait in (race_case.hpp).
//
// The operations are those that the headers have: the list is made from them.
#include "datagram_race_cases.hpp"
#include "executor_race_cases.hpp"
#include "handover_race_cases.hpp"
#include "socket_race_cases.hpp"
#include "sync_race_cases.hpp"

#include <signal.h>

#include <optional>
#include <random>

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

// With something to ask for an end, which then calls back by itself.
template <bool may_be_asked> class awaits_a_callback final : public race_case {
    task<> prepare() override {
        kept_.reset();
        completed_ = taken_ = false;
        co_return;
    }
    task<std::error_code> operate() override {
        const auto start = [this](callback<int> done) {
            kept_ = std::move(done);
            if (completed_) call(); // at once
        };
        result<int> told;
        if constexpr (may_be_asked)
            told = co_await from_callback<int>(start, [this] { kept_->fail(errc::cancelled); });
        else
            told = co_await from_callback<int>(start);
        if (told) CHECK(*told == 7);
        co_return ended(told);
    }
    void complete() override {
        completed_ = true;
        if (kept_) call();
    }
    task<> check(std::error_code error) override {
        CHECK(taken_ == !error);
        co_return;
    }
    void call() {
        taken_ = (*kept_)(7);
        CHECK_FALSE((*kept_)(8));
    }
    std::optional<callback<int>> kept_;
    bool completed_ = false;
    bool taken_ = false;
};

class awaits_readiness final : public race_case {
    task<std::error_code> operate() override {
        const result<readiness> found = co_await ready(pipe_.reading(), readable);
        if (found) CHECK(*found == readable);
        co_return ended(found);
    }
    void complete() override { pipe_.write("x"); }
    task<> check(std::error_code) override {
        CHECK(pipe_.left() == "x"); // it takes nothing
        co_return;
    }
    pipe_ends pipe_;
};

// For each operation of the headers; one that has no case here is a compile error.
cases cases_of_async_generator_next() {
    return each<reads_a_pipe<read_by_a_generator>>();
}
cases cases_of_auto_reset_event_wait() {
    return each<awaits_an_auto_reset_event>();
}
cases cases_of_barrier_arrive_and_wait() {
    return each<arrives_at_a_barrier>();
}
cases cases_of_broadcast_receiver_receive() {
    return each<receives_a_broadcast>();
}
cases cases_of_call_on() {
    return each<calls_an_executor>();
}
cases cases_of_resume_on() {
    return each<goes_and_comes_back>();
}
cases cases_of_spawn_on() {
    return each<reads_a_pipe<read_elsewhere>>();
}
cases cases_of_channel_receive() {
    return each<receives_from_a_channel>();
}
cases cases_of_channel_send() {
    return each<sends_to_a_channel>();
}
cases cases_of_child_outcome() {
    return each<awaits_a_child>();
}
cases cases_of_connection_stream_next() {
    return over_each_connection<accepts_of_a_stream>();
}
cases cases_of_datagram_socket_close() {
    return over_each_datagram_socket<closes_datagrams>();
}
cases cases_of_datagram_socket_release() {
    return over_each_datagram_socket<releases_datagrams>();
}
cases cases_of_datagram_socket_receive() {
    return each<
        receives_datagrams<udp_socket, receives_into::block>,
        receives_datagrams<unix_datagram, receives_into::block>>();
}
cases cases_of_datagram_socket_receive_into() {
    return each<
        receives_datagrams<udp_socket, receives_into::memory>,
        receives_datagrams<udp_socket, receives_into::msghdr>,
        receives_datagrams<unix_datagram, receives_into::memory>,
        receives_datagrams<unix_datagram, receives_into::msghdr>>();
}
cases cases_of_datagram_socket_send() {
    return sending_datagrams<datagrams_by::send>();
}
cases cases_of_datagram_socket_send_to() {
    return sending_datagrams<datagrams_by::send_to>();
}
cases cases_of_datagram_socket_write() {
    return sending_datagrams<datagrams_by::write>();
}
cases cases_of_datagram_socket_write_to() {
    return sending_datagrams<datagrams_by::write_to>();
}
cases cases_of_from_callback() {
    return each<awaits_a_callback<false>, awaits_a_callback<true>>();
}
cases cases_of_event_wait() {
    return each<awaits_an_event>();
}
cases cases_of_interval_tick() {
    return each<ticks>();
}
cases cases_of_latch_arrive_and_wait() {
    return each<awaits_a_latch<true>>();
}
cases cases_of_latch_wait() {
    return each<awaits_a_latch<false>>();
}
cases cases_of_listener_accept() {
    return over_each_connection<accepts_one>() +
           over_each<accepts<accepts_by::direct_descriptor>, over_tcp>();
}
cases cases_of_listener_close() {
    return over_each_connection<closes_a_listener>();
}
cases cases_of_listener_release() {
    return over_each_connection<releases_a_listener>();
}
cases cases_of_local_stream_receive_fd() {
    return over_each<receives_descriptors, over_unix, over_seqpacket>();
}
cases cases_of_local_stream_send_fd() {
    return over_each<sends_descriptors, over_unix, over_seqpacket>();
}
cases cases_of_mutex_lock() {
    return each<acquires<plain_lock>>();
}
cases cases_of_offload() {
    return each<offloads>();
}
cases cases_of_ready() {
    return each<awaits_readiness>();
}
cases cases_of_oneshot_receive() {
    return each<awaits_a_oneshot>();
}
cases cases_of_rate_limiter_acquire() {
    return each<keeps_to_a_rate>();
}
cases cases_of_semaphore_acquire() {
    return each<acquires<all_permits>>();
}
cases cases_of_seqpacket_stream_connect() {
    return over_each<connects, over_seqpacket>();
}
cases cases_of_shared_mutex_lock() {
    return each<acquires<lock_of_a_writer>>();
}
cases cases_of_shared_mutex_lock_shared() {
    return each<acquires<lock_of_a_reader>>();
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
    return over_each_connection<closes>();
}
cases cases_of_stream_receive() {
    return over_each_connection<receives_a_lease>();
}
cases cases_of_stream_receive_into() {
    return over_each_connection<receives_into_memory>();
}
cases cases_of_stream_release() {
    return over_each_connection<releases>();
}
cases cases_of_stream_send() {
    return over_each_connection<sends_a_message>() +
           over_each<sends<sends_by::send_without_a_copy>, over_tcp>();
}
cases cases_of_stream_write() {
    return over_each_connection<writes_a_message>();
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
    return over_each<connects, over_tcp>();
}
cases cases_of_try_() {
    return each<reads_a_pipe<read_or_end>>();
}
cases cases_of_unix_stream_connect() {
    return over_each<connects, over_unix>();
}
cases cases_of_uring() {
    return each<reads_a_pipe<read_plainly>>();
}
cases cases_of_watch_receiver_changed() {
    return each<sees_a_change>();
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
