#include "net/embed/hosts.hpp"
#include "runtime/steps.hpp"

#include <chainring/net/embed/use_chainring.hpp>
#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/try.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <random>
#include <stdexcept>
#include <string>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;
namespace asio = boost::asio;

namespace {

// Runs a task within an Asio loop to its end.
class within_asio {
  public:
    explicit within_asio(task_work_mode mode = task_work_mode::throughput)
        : home(options_for(mode))
        , host(home) {}

    void run(task<> root) {
        bool done = false;
        std::exception_ptr thrown;
        spawn(home, std::move(root), [&](const ended_task<void>& end) {
            done = true;
            if (!end) thrown = end.error();
        });
        host.run_until([&] { return done; });
        if (thrown) std::rethrow_exception(thrown);
        check_baseline(home);
    }

    executor home;
    asio_host host;
};

struct socket_pair {
    explicit socket_pair(asio::io_context& loop)
        : near(loop)
        , far(loop) {
        asio::local::connect_pair(near, far);
    }
    asio::local::stream_protocol::socket near;
    asio::local::stream_protocol::socket far;
};

// An operation of Asio's kind with any signature.
template <class Signature, class Start, class Token> auto async_anything(Start start, Token&& token) {
    return asio::async_initiate<Token, Signature>(
        [](auto handler, Start given) { given(std::move(handler)); }, token, std::move(start));
}

} // namespace

TEST_CASE("a_task_awaits_a_timer_of_asio", "[linux]") {
    within_asio within(GENERATE(both_modes()));
    within.run([](asio::io_context& loop) -> task<> {
        asio::steady_timer timer(loop, 2ms);
        const result<void> waited = co_await timer.async_wait(use_chainring);
        CHECK(waited.has_value());
        const result<void> again = co_await timer.async_wait(use_chainring); // it is over
        CHECK(again.has_value());
        CHECK(executor::current() != nullptr);
    }(within.host.loop()));
}

TEST_CASE("values_of_asio_come_as_results_and_its_errors_as_errors", "[linux]") {
    within_asio within;
    within.run([](asio::io_context& loop) -> task<> {
        socket_pair pair(loop);
        const result<std::size_t> written =
            co_await asio::async_write(pair.near, asio::buffer("hello", 5), use_chainring);
        CHECK(written == 5U);
        std::array<char, 5> bytes{};
        const result<std::size_t> read =
            co_await asio::async_read(pair.far, asio::buffer(bytes), use_chainring);
        CHECK(read == 5U);
        CHECK(std::string_view(bytes.data(), bytes.size()) == "hello");

        (void)co_await asio::async_write(pair.near, asio::buffer("end", 3), use_chainring);
        pair.near.close();
        const auto [error, size] =
            (co_await asio::async_read(pair.far, asio::buffer(bytes), asio::as_tuple(use_chainring))).value();
        CHECK(error == asio::error::eof);
        CHECK(size == 3);
        const result<std::size_t> at_end =
            co_await pair.far.async_read_some(asio::buffer(bytes), use_chainring);
        REQUIRE_FALSE(at_end);
        CHECK(at_end.error() == std::error_code(asio::error::make_error_code(asio::error::eof)));
        const result<std::size_t> broken =
            co_await asio::async_write(pair.far, asio::buffer("x", 1), use_chainring);
        REQUIRE_FALSE(broken);
        CHECK(broken.error() == std::errc::broken_pipe);
    }(within.host.loop()));
}

TEST_CASE("every_signature_of_a_completion_has_its_result", "[linux]") {
    within_asio within;
    within.run([]() -> task<> {
        const result<void> nothing =
            co_await async_anything<void()>([](auto handler) { handler(); }, use_chainring);
        CHECK(nothing.has_value());
        const result<int> one =
            co_await async_anything<void(int)>([](auto handler) { handler(1); }, use_chainring);
        CHECK(one == 1);
        const result<std::tuple<int, std::string>> two =
            co_await async_anything<void(boost::system::error_code, int, const std::string&)>(
                [](auto handler) { handler(boost::system::error_code(), 1, "two"s); }, use_chainring);
        CHECK(two == std::tuple(1, "two"s));
        std::string caught;
        try {
            (void)co_await async_anything<void(std::exception_ptr, int)>(
                [](auto handler) { handler(std::make_exception_ptr(std::runtime_error("thrown")), 0); },
                use_chainring);
        } catch (const std::runtime_error& error) {
            caught = error.what();
        }
        CHECK(caught == "thrown");
        const result<int> dropped = co_await async_anything<void(int)>([](auto) {}, use_chainring);
        CHECK(dropped == failure(errc::never_called));
    }());
}

TEST_CASE("a_cancellation_passes_through_the_slot_and_is_told_as_such", "[linux]") {
    within_asio within(GENERATE(both_modes()));
    within.run([](asio::io_context& loop) -> task<> {
        socket_pair pair(loop);
        std::array<char, 8> bytes{};
        const result<std::size_t> late =
            co_await timeout(2ms, pair.far.async_read_some(asio::buffer(bytes), use_chainring));
        CHECK(late == failure(errc::timed_out));

        // A composed operation tells what it had moved.
        (void)co_await asio::async_write(pair.near, asio::buffer("abc", 3), use_chainring);
        auto reading =
            timeout(2ms, asio::async_read(pair.far, asio::buffer(bytes), asio::as_tuple(use_chainring)));
        const auto ended = co_await std::move(reading);
        REQUIRE(ended.has_value());
        CHECK(std::get<0>(*ended) == asio::error::operation_aborted);
        CHECK(std::get<1>(*ended) == 3);

        asio::steady_timer timer(loop, 1h);
        const result<void> waited = co_await timeout(1ms, timer.async_wait(use_chainring));
        CHECK(waited == failure(errc::timed_out));
    }(within.host.loop()));
}

TEST_CASE("an_operation_of_asio_that_is_awaited_by_nobody_does_not_start", "[linux]") {
    within_asio within;
    within.run([]() -> task<> {
        bool started = false;
        const auto start = [&](auto handler) {
            started = true;
            handler();
        };
        {
            auto never = async_anything<void()>(start, use_chainring);
        }
        CHECK_FALSE(started);
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto begin, bool& flag) -> task<> {
                const result<void> refused = co_await async_anything<void()>(begin, use_chainring);
                CHECK(refused == failure(errc::cancelled));
                CHECK_FALSE(flag);
            }(start, started));
            group.cancel();
            co_return;
        });
    }());
}

TEST_CASE("cancellation_and_destruction_against_completion_of_asios_operations", "[linux]") {
    constexpr int rounds = optimized ? 10'000 : 1000;
    within_asio within(GENERATE(both_modes()));
    within.run([](asio::io_context& loop, int count) -> task<> {
        std::mt19937 random(1);
        socket_pair pair(loop);
        for (int round = 0; round < count; ++round) {
            int resumed = 0;
            result<std::size_t> outcome;
            std::array<char, 4> bytes{};
            cancel_scope& here = co_await this_scope{};
            std::optional<task_group> group(std::in_place, here);
            group->spawn(
                [](socket_pair& sockets, std::array<char, 4>& into, result<std::size_t>& told,
                   int& times) -> task<> {
                    told = co_await sockets.far.async_read_some(asio::buffer(into), use_chainring);
                    ++times;
                }(pair, bytes, outcome, resumed));
            const unsigned writes_at = random() % 4;
            const unsigned ends_at = random() % 4;
            const bool destroys = random() % 8 == 0;
            for (unsigned step = 0; step < 4; ++step) {
                if (step == writes_at) (void)pair.near.send(asio::buffer("x", 1));
                if (step == ends_at && destroys) group.reset();
                if (step == ends_at && !destroys) group->cancel();
                const unsigned pause = random() % 3;
                if (pause == 0) co_await yield();
                if (pause == 1) co_await next_turn();
                if (pause == 2) (void)co_await asio::post(loop, use_chainring); // the loop gets its turn
            }
            if (group) co_await group->join();
            if (!destroys) {
                REQUIRE(resumed == 1);
                if (outcome)
                    CHECK(*outcome == 1);
                else
                    CHECK(outcome.error() == errc::cancelled);
            }
            group.reset();
            // What nobody has received is still there, unless it went to what was destroyed.
            (void)co_await asio::post(loop, use_chainring);
            const std::size_t left = pair.far.available();
            if (!destroys) CHECK(left == (outcome ? 0U : 1U));
            if (left != 0) (void)pair.far.receive(asio::buffer(bytes));
        }
    }(within.host.loop(), rounds));
}
