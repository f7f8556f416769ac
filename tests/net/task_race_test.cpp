// Every function that returns a task (race_case.hpp).
//
// The functions are those that the headers have: the list is made from them.
#include "datagram_race_cases.hpp"
#include "executor_race_cases.hpp"
#include "reader_race_cases.hpp"
#include "sync_race_cases.hpp"

#include <chainring/net/systemd.hpp>

#include <cstdlib>
#include <stop_token>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

task<result<int>> read_under_a_stop_token(int from, std::span<char> into) {
    std::stop_source nobody_stops;
    const result<int> read = co_await cancel_on(nobody_stops.get_token(), read_into(from, into));
    co_return read;
}

task<result<int>> read_until_shutdown(int from, std::span<char> into) {
    const result<int> read = co_await until_shutdown(read_into(from, into));
    co_return read;
}

task<result<int>> read_under_a_shield(int from, std::span<char> into) {
    const result<int> read = co_await shield(read_into(from, into));
    CHECK(read == 1);
    co_return read;
}

task<result<int>> read_in_a_named_task(int from, std::span<char> into) {
    const result<int> read = co_await named("reader", read_plainly(from, into));
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

task<result<int>> read_with_a_deadline(int from, std::span<char> into) {
    const time_point in_an_hour = executor::current()->now() + 1h;
    const result<int> read = co_await deadline(in_an_hour, read_into(from, into));
    co_return read;
}

task<result<int>> ends_at_once() {
    co_return 0;
}

task<result<int>> fails_at_once() {
    co_return std::unexpected(make_error_code(errc::closed));
}

task<result<void>> waits_for_ever() {
    const result<void> slept = co_await sleep(24h);
    co_return slept;
}

task<result<int>> read_once(int from, std::span<char> into) {
    once done;
    result<int> read = 0;
    const auto reads = [&]() -> task<result<void>> {
        read = co_await read_into(from, into);
        if (!read) co_return failure(read.error());
        co_return result<void>();
    };
    const result<void> called = co_await done.call(reads);
    CHECK(done.done() == called.has_value());
    if (!called) co_return failure(called.error());
    co_return read;
}

task<result<int>> read_with_another(int from, std::span<char> into) {
    auto both = when_all(read_plainly(from, into), ends_at_once());
    const auto outcomes = co_await std::move(both);
    CHECK(std::get<1>(outcomes) == 0);
    co_return std::get<0>(outcomes);
}

task<result<int>> read_or_wait(int from, std::span<char> into) {
    auto race = when_any(read_plainly(from, into), waits_for_ever());
    const auto ended = co_await std::move(race);
    CHECK(std::get<1>(ended.outcomes).error() == errc::cancelled);
    co_return std::get<0>(ended.outcomes);
}

task<result<int>> read_or_fail(int from, std::span<char> into) {
    auto race = race_success(fails_at_once(), read_plainly(from, into));
    const auto ended = co_await std::move(race);
    CHECK(std::get<0>(ended.outcomes).error() == errc::closed);
    co_return std::get<1>(ended.outcomes);
}

// More than a small socket takes: in one message of a stream, or in a few that it has no place for.
std::size_t written_size() {
    return over_any::carries_bytes() ? 20'000 : 2000;
}

task<> write_more_than_fits(over_any::stream& to) {
    if (!over_any::carries_bytes()) fill(to.native_handle());
    const std::size_t of_a_message = over_any::carries_bytes() ? written_size() : 1000;
    for (std::size_t left = written_size(); left != 0; left -= of_a_message)
        must(co_await to.write(std::string(of_a_message, 'x')));
}

// What was written is sent, whoever waits for it and gives up.
class flushes final : public race_case {
    task<> prepare() override {
        if (!pair_) pair_.emplace(co_await pair_for_a_race());
        co_await write_more_than_fits(pair_->stream);
        arrived_ = 0;
    }
    task<std::error_code> operate() override {
        const result<void> flushed = co_await pair_->stream.flush();
        if (flushed) CHECK(pair_->stream.unsent() == 0);
        co_return ended(flushed);
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code) override {
        co_await until([this] {
            arrived_ += read_each_x(pair_->peer);
            return arrived_ >= written_size();
        });
        CHECK(arrived_ == written_size());
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    std::optional<stream_and_peer<over_any>> pair_;
    std::size_t arrived_ = 0;
};

// One that was cancelled has ended nothing.
class half_closes final : public race_case {
    task<> prepare() override {
        pair_.emplace(co_await pair_for_a_race());
        co_await write_more_than_fits(pair_->stream);
        arrived_ = 0;
    }
    task<std::error_code> operate() override {
        const result<void> ended_sending = co_await pair_->stream.shutdown();
        co_return ended(ended_sending);
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code error) override {
        std::size_t expected = written_size();
        if (error) {
            must(co_await pair_->stream.write("xxxx"s));
            expected += 4;
        }
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& stream) -> task<> { must(co_await stream.shutdown()); }(pair_->stream));
            const std::string rest = co_await read_plain_to_end(pair_->peer);
            arrived_ += size_of_x(rest);
            CHECK(arrived_ == expected);
        });
        pair_->stream.abort();
        pair_.reset();
    }
    std::optional<stream_and_peer<over_any>> pair_;
    std::size_t arrived_ = 0;
};

class resolves final : public race_case {
    task<std::error_code> operate() override {
        lookups_ = 0;
        resolve_options options;
        options.pool = &pool_;
        options.lookup = [this](const std::string&, const std::string&) {
            ++lookups_;
            return result<std::vector<endpoint>>({{"127.0.0.1", 80}});
        };
        const auto found = co_await resolve("a-name", "http", options);
        if (found) CHECK(found->size() == 1);
        co_return ended(found);
    }
    task<> check(std::error_code error) override {
        CHECK(lookups_ == (error ? 0 : 1));
        co_return;
    }
    blocking_pool pool_{{.threads = 2, .queue_limit = 4}};
    int lookups_ = 0;
};

// Nobody listens at the first address.
class connects_by_name final : public race_case {
    task<std::error_code> operate() override {
        const endpoint there = at_.local();
        connect_options options;
        options.resolve.lookup = [there](const std::string&, const std::string&) {
            return result<std::vector<endpoint>>({endpoint("::1", there.port()), there});
        };
        const auto connected = co_await tcp_stream::connect("a-name", "http", options);
        co_return ended(connected);
    }
    task<> check(std::error_code error) override {
        const int accepted = reset_all_waiting(at_);
        CHECK(accepted <= 1);
        if (!error) CHECK(accepted == 1);
        co_return;
    }
    plain_socket at_ = non_blocking(plain_socket::listening(over_tcp::somewhere(), 100));
};

// The service manager gets the message if, and only if, whoever sends it is told so.
class notifies final : public race_case {
  public:
    ~notifies() override { ::unsetenv("NOTIFY_SOCKET"); }

  private:
    task<> prepare() override {
        ::setenv("NOTIFY_SOCKET", manager_.local().to_string().substr(sizeof("unix:") - 1).c_str(), 1);
        co_return;
    }
    task<std::error_code> operate() override {
        const result<bool> told = co_await systemd::notify("READY=1");
        co_return ended(told);
    }
    task<> check(std::error_code error) override {
        CHECK(manager_.next().has_value() == !error);
        CHECK_FALSE(manager_.next().has_value());
        co_return;
    }
    plain_receiver manager_{over_unix_datagrams::somewhere()};
};

// It never ends by itself. What it has sent until then has arrived.
class feeds_the_watchdog final : public race_case {
  public:
    ~feeds_the_watchdog() override {
        ::unsetenv("NOTIFY_SOCKET");
        ::unsetenv("WATCHDOG_USEC");
    }

  private:
    task<> prepare() override {
        ::setenv("NOTIFY_SOCKET", manager_.local().to_string().substr(sizeof("unix:") - 1).c_str(), 1);
        ::setenv("WATCHDOG_USEC", "86400000000", 1);
        co_return;
    }
    task<std::error_code> operate() override {
        const result<void> fed = co_await systemd::feed_watchdog();
        CHECK(fed == failure(errc::cancelled));
        co_return ended(fed);
    }
    task<> check(std::error_code) override {
        if (const auto first = manager_.next()) CHECK(*first == "WATCHDOG=1");
        CHECK_FALSE(manager_.next().has_value());
        co_return;
    }
    plain_receiver manager_{over_unix_datagrams::somewhere()};
};

// For each function of the headers; one that has no case here is a compile error.
cases cases_of_task_buffered_reader_peek() {
    return reading_lines<reads_by::peek>();
}
cases cases_of_task_buffered_reader_read_message() {
    return reading_lines<reads_by::message>();
}
cases cases_of_task_buffered_reader_read_some() {
    return reading_lines<reads_by::some>();
}
cases cases_of_task_buffered_reader_skip() {
    return reading_lines<reads_by::skip>();
}
cases cases_of_task_cancel_on() {
    return each<reads_a_pipe<read_under_a_stop_token>>();
}
cases cases_of_task_condition_wait() {
    return each<awaits_a_condition>();
}
cases cases_of_task_datagram_socket_flush() {
    return over_each_datagram_socket<flushes_datagrams>();
}
cases cases_of_task_tcp_stream_connect() {
    return each<connects_by_name>();
}
cases cases_of_task_deadline() {
    return each<reads_a_pipe<read_with_a_deadline>>();
}
cases cases_of_task_stream_flush() {
    return over_each_connection<flushes>();
}
cases cases_of_task_framed_receive() {
    return reading_lines<reads_by::framed>();
}
cases cases_of_task_framed_send() {
    return sending_lines<false>();
}
cases cases_of_task_framed_write() {
    return sending_lines<true>();
}
cases cases_of_task_move_to() {
    return over_each<moves_a_connection, over_unix, over_seqpacket>();
}
// These are spawn_on and call_on in a scope, and need a runtime (tests/runtime/executors_test.cpp).
cases cases_of_task_for_each_executor() {
    return {};
}
cases cases_of_task_per_executor_make() {
    return {};
}
cases cases_of_task_named() {
    return each<reads_a_pipe<read_in_a_named_task>>();
}
cases cases_of_task_feed_watchdog() {
    return each<feeds_the_watchdog>();
}
cases cases_of_task_notify() {
    return each<notifies>();
}
cases cases_of_task_once_call() {
    return each<reads_a_pipe<read_once>>();
}
cases cases_of_task_race_success() {
    return each<reads_a_pipe<read_or_fail>>();
}
cases cases_of_task_resolve() {
    return each<resolves>();
}
cases cases_of_task_scope() {
    return each<reads_a_pipe<read_in_a_scope>>();
}
cases cases_of_task_shield() {
    return each<reads_a_pipe<read_under_a_shield>>();
}
cases cases_of_task_stream_shutdown() {
    return over_each_connection<half_closes>();
}
cases cases_of_task_timeout() {
    return each<reads_a_pipe<read_with_a_timeout>>();
}
cases cases_of_task_until_shutdown() {
    return each<reads_a_pipe<read_until_shutdown>>();
}
cases cases_of_task_when_all() {
    return each<reads_a_pipe<read_with_another>>();
}
cases cases_of_task_when_any() {
    return each<reads_a_pipe<read_or_wait>>();
}

} // namespace

#define TASK(name)                                                                                           \
    TEST_CASE("a_cancel_against_the_completion_of_the_task_" #name) {                                        \
        run_all(cases_of_task_##name(), GENERATE(both_modes()));                                             \
    }
#include "tasks.inc"
