// When descriptors have run out: a listener waits, does not spin, and loses no connection; a connect waits if one is
// about to come back.
#include "short_of_descriptors.hpp"
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

TRANSPORT_TEST_CASE("out_of_descriptors_a_listener_waits_and_loses_no_connection", "[linux]") {
    const std::size_t before = open_descriptors();
    {
        short_of_descriptors behind;
        executor home(options_for(GENERATE(both_modes())), behind);
        constexpr int clients = 5;
        home.run([](executor& running, short_of_descriptors& limit) -> task<> {
            auto listener = must(over_any::listener::bind(over_any::somewhere()));
            std::vector<plain_socket> waiting;
            for (int client = 0; client < clients; ++client) {
                waiting.push_back(plain_socket::connected_to(must(listener.local())));
                CHECK(waiting.back().send(std::to_string(client)));
            }
            int served = 0;
            const auto serve = [&]() -> task<> {
                for (; served < clients; ++served) {
                    auto peer = must(co_await listener.accept());
                    co_await expect(peer, std::to_string(served));
                }
            };
            co_await scope([&](task_group& group) -> task<> {
                limit.begin();
                const statistics begun = running.stats();
                group.spawn(serve());
                // The pauses double from 5 ms on, so by the fifth attempt 75 ms have gone by.
                while (running.stats().accepts_deferred < begun.accepts_deferred + 5)
                    must(co_await chainring::sleep(1ms));
                const statistics now = running.stats();
                CHECK(served == 0);
                // Each turn was one of the test's own sleeps or one attempt: nothing spins.
                CHECK(now.cqes - begun.cqes < 10);
                CHECK(now.sqes - begun.sqes < 10);
                limit.end();
            });
            CHECK(served == clients);
            CHECK(listener.is_open());
            waiting.push_back(plain_socket::connected_to(must(listener.local())));
            must(co_await listener.accept());
        }(home, behind));
        check_baseline(home);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("an_accept_that_waits_for_descriptors_can_be_cancelled_and_its_listener_closed", "[linux]") {
    short_of_descriptors behind;
    executor home(options_for(GENERATE(both_modes())), behind);
    home.run([](executor& running, short_of_descriptors& limit) -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        outcome cancelled;
        outcome closed;
        limit.begin();
        const auto deferred = running.stats().accepts_deferred;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, cancelled));
            co_await until([&] { return running.stats().accepts_deferred != deferred; });
            group.cancel();
        });
        CHECK(cancelled.error == errc::cancelled);
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, closed));
            co_await one_turn();
            must(co_await listener.close());
        });
        CHECK(closed.error == errc::closed);
    }(home, behind));
    check_baseline(home);
}

TEST_CASE("a_listener_may_refuse_connections_for_which_no_descriptor_is_left", "[linux]") {
    const std::size_t before = open_descriptors();
    {
        short_of_descriptors behind;
        executor home(options_for(GENERATE(both_modes())), behind);
        home.run([](executor& running, short_of_descriptors& limit) -> task<> {
            listen_options options;
            options.refuse_when_out_of_descriptors = true;
            auto listener = must(tcp_listener::bind({"127.0.0.1", 0}, options));
            const endpoint at = must(listener.local());
            outcome accepted;
            co_await scope([&](task_group& group) -> task<> {
                std::vector<plain_socket> refused;
                for (int client = 0; client < 3; ++client) refused.push_back(plain_socket::connected_to(at));
                limit.begin();
                group.spawn(accept_one(listener, accepted));
                for (const plain_socket& client : refused) {
                    bool ended = false;
                    co_await until([&] {
                        client.read_now(&ended);
                        return ended;
                    });
                }
                CHECK_FALSE(accepted.done);
                CHECK(running.stats().connections_refused == 3);
                limit.end();
                const plain_socket welcome = plain_socket::connected_to(at);
                co_await until([&] { return accepted.done; });
            });
            CHECK_FALSE(accepted.error);
            CHECK(running.stats().connections_refused == 3);
        }(home, behind));
        check_baseline(home);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("an_accept_that_waits_for_descriptors_goes_on_when_a_connection_has_closed", "[linux]") {
    short_of_descriptors behind;
    executor home(options_for(GENERATE(both_modes())), behind);
    home.run([](executor& running, short_of_descriptors& limit) -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        const plain_socket first = plain_socket::connected_to(must(listener.local()));
        auto peer = must(co_await listener.accept());
        const plain_socket second = plain_socket::connected_to(must(listener.local()));
        outcome accepted;
        co_await scope([&](task_group& group) -> task<> {
            limit.begin();
            group.spawn(accept_one(listener, accepted));
            // The pause is then a second, and the test's patience with the close is shorter than its own.
            co_await until([&] { return running.stats().accepts_deferred >= 3; });
            const auto deferred = running.stats().accepts_deferred;
            must(co_await peer.close());
            co_await until([&] { return accepted.done; });
            CHECK(running.stats().accepts_deferred == deferred);
        });
        CHECK_FALSE(accepted.error);
        limit.end();
    }(home, behind));
    check_baseline(home);
}

TEST_CASE("a_connect_out_of_descriptors_waits_for_a_close_that_is_pending_and_for_nothing_else", "[linux]") {
    short_of_descriptors behind;
    executor home(options_for(GENERATE(both_modes())), behind);
    home.run([](short_of_descriptors& limit) -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        const endpoint at = must(listener.local());
        std::optional<tcp_stream> other(must(co_await tcp_stream::connect(at)));
        limit.begin();
        const auto refused = co_await tcp_stream::connect(at);
        CHECK(error_of(refused) == std::errc::too_many_files_open);
        other.reset(); // its close is pending
        const tcp_stream connected = must(co_await tcp_stream::connect(at));
        CHECK(connected.is_open());
        limit.end();
    }(behind));
    check_baseline(home);
}

TEST_CASE("a_connect_that_waits_for_a_descriptor_can_be_cancelled", "[linux]") {
    short_of_descriptors behind;
    executor home(options_for(GENERATE(both_modes())), behind);
    home.run([](short_of_descriptors& limit) -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        const endpoint at = must(listener.local());
        std::optional<tcp_stream> other(must(co_await tcp_stream::connect(at)));
        limit.begin();
        std::error_code error;
        co_await scope([&](task_group& group) -> task<> {
            other.reset();
            group.spawn([](endpoint to, std::error_code& told) -> task<> {
                const auto connected = co_await tcp_stream::connect(to);
                told = error_of(connected);
            }(at, error));
            co_await pass(); // it waits; the close is submitted at the turn's end
            group.cancel();
        });
        CHECK(error == errc::cancelled);
        limit.end();
    }(behind));
    check_baseline(home);
}
