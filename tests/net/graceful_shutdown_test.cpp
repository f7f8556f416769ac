// The stages in which a server ends.
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

constexpr shutdown_limits in_an_hour{.soft = 1h, .hard = 2h};

// Answers each request of two bytes; between two requests it may be told to end.
template <class Stream> task<> answer(Stream peer, int& answered) {
    for (;;) {
        const auto request = co_await until_shutdown(peer.receive());
        if (!request || request->empty()) break;
        std::string text(request->text());
        while (text.size() < 2) {
            const auto rest = co_await peer.receive();
            if (!rest || rest->empty()) co_return;
            text += rest->text();
        }
        const auto sent = co_await peer.send(std::move(text));
        if (!sent) break;
        ++answered;
    }
}

// As a server is written: its errors end it.
template <class Over> task<result<void>> serve(typename Over::listener& listener, bool ahead, int& answered) {
    co_return co_await scope([&](task_group& sessions) -> task<result<void>> {
        if (ahead) {
            auto connections = listener.connections();
            for (;;) {
                auto peer = co_await try_(connections.next());
                sessions.spawn(answer(std::move(peer), answered));
            }
        }
        for (;;) {
            auto peer = co_await try_(listener.accept());
            sessions.spawn(answer(std::move(peer), answered));
        }
    });
}

} // namespace

TRANSPORT_TEST_CASE("a_shutdown_closes_listeners_and_lets_what_has_begun_finish") {
    const bool ahead = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [ahead]() -> task<> {
        executor& home = *executor::current();
        graceful_shutdown shutdown(home, in_an_hour);
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        const endpoint at = must(listener.local());
        int answered = 0;
        bool ended = false;
        co_await scope([&](task_group& group) -> task<> {
            // Next to another child: that a server ends so is no failure, which would cancel it.
            group.spawn([](auto& from, bool streams, int& count, bool& over) -> task<result<void>> {
                const result<void> served = co_await serve<over_any>(from, streams, count);
                over = true;
                co_return served;
            }(listener, ahead, answered, ended));
            const plain_socket idle = plain_socket::connected_to(at);
            const plain_socket busy = plain_socket::connected_to(at);
            CHECK(idle.send("ok"));
            const std::string first = co_await read_plain(idle, 2);
            CHECK(first == "ok");
            CHECK(busy.send("r"));
            co_await until([&] { return home.stats().bytes_received == 3; });
            co_await settle();

            shutdown.begin();
            shutdown.begin();
            CHECK(shutdown.reached() == graceful_shutdown::stage::finishing);
            const std::string at_once = co_await read_plain_to_end(idle);
            CHECK(at_once.empty());
            co_await until([&] { return !listener.is_open(); });
            CHECK(error_of(over_any::listener::bind(over_any::somewhere())) == errc::cancelled);
            const auto late = co_await listener.accept();
            CHECK(error_of(late) == errc::cancelled);
            CHECK_FALSE(ended);

            CHECK(busy.send("x")); // the rest of its request
            const std::string reply = co_await read_plain_to_end(busy);
            CHECK(reply == "rx");
            co_await until([&] { return ended; });
        });
        CHECK(answered == 2);
        CHECK_FALSE(home.root_scope().cancelled());
    });
}

namespace {

// The awaitable outlives its await, and a shutdown begins meanwhile.
task<> receive_and_shut_down(stream_and_peer<over_any>& pair, graceful_shutdown& shutdown) {
    auto receiving = until_shutdown(pair.stream.receive());
    const buffer got = must(co_await std::move(receiving));
    CHECK(got.text() == "text");
    shutdown.begin();
    co_await settle();
}

} // namespace

TRANSPORT_TEST_CASE("a_receive_until_shutdown_that_has_ended_does_not_hear_of_one") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        graceful_shutdown shutdown(*executor::current(), in_an_hour);
        auto pair = co_await connected_to_plain<over_any>();
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_and_shut_down(pair, shutdown));
            co_await settle(); // it waits
            CHECK(pair.peer.send("text"));
        });
        CHECK(executor::current()->stats().second_resumptions == 0);
    });
}

TRANSPORT_TEST_CASE("a_receive_until_shutdown_may_have_a_deadline_and_be_cancelled_around_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        graceful_shutdown shutdown(*executor::current(), in_an_hour);
        auto pair = co_await connected_to_plain<over_any>();
        const auto late = co_await timeout(1ms, until_shutdown(pair.stream.receive()));
        CHECK(error_of(late) == errc::timed_out);
        std::stop_source stop;
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](stream_and_peer<over_any>& from, std::stop_token token, outcome& to) -> task<> {
                const auto got = co_await cancel_on(token, until_shutdown(from.stream.receive()));
                to.error = error_of(got);
                to.done = true;
            }(pair, stop.get_token(), told));
            co_await settle();
            CHECK_FALSE(told.done);
            stop.request_stop();
        });
        CHECK(told.error == errc::cancelled);
        CHECK(pair.peer.send("text")); // which the next one gets
        const buffer got = must(co_await until_shutdown(pair.stream.receive()));
        CHECK(got.text() == "text");
    });
}

TEST_CASE("until_shutdown_passes_results_on_and_cancels_from_the_shutdown_on") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        graceful_shutdown shutdown(*executor::current(), in_an_hour);
        auto pair = co_await connected_to_plain<over_tcp>();
        CHECK(pair.peer.send("text"));
        const buffer got = must(co_await until_shutdown(pair.stream.receive()));
        CHECK(got.text() == "text");
        const auto body = []() -> task<int> { co_return 5; };
        const int value = co_await until_shutdown(body());
        CHECK(value == 5);
        shutdown.begin();
        const auto late = co_await until_shutdown(pair.stream.receive());
        CHECK(error_of(late) == errc::cancelled);
        CHECK(pair.peer.send("more"));
        const buffer more = must(co_await pair.stream.receive()); // others go on
        CHECK(more.text() == "more");
    });
}

TRANSPORT_TEST_CASE("at_the_soft_deadline_the_tasks_are_cancelled") {
    const duration soft = GENERATE(duration(-1s), duration::zero(), duration(1ms));
    executor home(options_for(GENERATE(both_modes())));
    graceful_shutdown shutdown(home, {.soft = soft, .hard = 1h});
    home.run([](graceful_shutdown& ending) -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        ending.begin();
        const auto got = co_await pair.stream.receive();
        CHECK(error_of(got) == errc::cancelled);
        CHECK(ending.reached() == graceful_shutdown::stage::cancelled);
    }(shutdown));
    check_baseline(home);
}

TEST_CASE("at_the_hard_deadline_run_ends_and_connections_are_reset") {
    const duration hard = GENERATE(duration::zero(), duration(1ms));
    executor home(options_for(GENERATE(both_modes())));
    graceful_shutdown shutdown(home, {.soft = {}, .hard = hard});
    plain_socket peer;
    const auto stubborn = [](graceful_shutdown& ending, plain_socket& other) -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"));
        other = std::move(pair.peer);
        ending.begin();
        (void)co_await shield(sleep(1h));
        FAIL("it was waited for");
    };
    CHECK_THROWS_AS(home.run(stubborn(shutdown, peer)), shutdown_overdue);
    CHECK(shutdown.reached() == graceful_shutdown::stage::overdue);
    CHECK(how_it_ended(peer) == ECONNRESET);
    check_baseline(home);
}

TEST_CASE("at_the_hard_deadline_connections_are_reset_within_another_loop_too") {
    kernel_under_test kernel;
    executor home(options_for(GENERATE(both_modes())), kernel.get());
    graceful_shutdown shutdown(home, {.soft = {}, .hard = {}});
    plain_socket peer;
    bool told = false;
    const auto stubborn = [](graceful_shutdown& ending, plain_socket& other) -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"));
        other = std::move(pair.peer);
        ending.begin();
        (void)co_await shield(sleep(1h));
    };
    spawn(home, stubborn(shutdown, peer), [&](const ended_task<void>& end) { told = !end; });
    while (!told) home.pump();
    while (home.pump()) {
    }
    CHECK(how_it_ended(peer) == ECONNRESET);
    check_baseline(home);
}

TEST_CASE("a_hard_deadline_before_the_soft_one_is_the_hard_one_all_the_same") {
    executor home(options_for(GENERATE(both_modes())));
    graceful_shutdown shutdown(home, {.soft = 24h, .hard = 1ms});
    const auto stubborn = [](graceful_shutdown& ending) -> task<> {
        ending.begin();
        (void)co_await shield(sleep(24h));
    };
    CHECK_THROWS_AS(home.run(stubborn(shutdown)), shutdown_overdue);
    CHECK(shutdown.reached() == graceful_shutdown::stage::overdue);
}

// As when the program was stopped, and goes on with a signal and with data that has come meanwhile.
TRANSPORT_TEST_CASE("what_has_arrived_when_a_shutdown_begins_is_answered") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.block_size = 64; // several receives, and more than wait for a reader
    const std::size_t size = GENERATE(2U, 200U, 5000U);
    on_executor(options, [size]() -> task<> {
        graceful_shutdown shutdown(*executor::current(), in_an_hour);
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        int answered = 0;
        std::vector<plain_socket> clients;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(serve<over_any>(listener, false, answered));
            for (int client = 0; client < 30; ++client) {
                clients.push_back(plain_socket::connected_to(must(listener.local())));
                CHECK(clients.back().send("ok"));
                const std::string first = co_await read_plain(clients.back(), 2);
                CHECK(first == "ok");
            }
            co_await settle();
            for (const plain_socket& client : clients) CHECK(client.send(std::string(size, 'r')));
            shutdown.begin();
        });
        for (const plain_socket& client : clients) {
            const std::string answers = co_await read_plain_to_end(client);
            CHECK(answers == std::string(size, 'r'));
        }
    });
}
