#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Stream> task<> connect_to(endpoint at, outcome& told) {
    auto connected = co_await Stream::connect(at);
    told = {.done = true, .error = error_of(connected)};
}

} // namespace

TRANSPORT_TEST_CASE("a_connection_reaches_its_listener") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        auto near = must(co_await over_any::stream::connect(must(listener.local())));
        auto far = must(co_await listener.accept());
        CHECK(near.is_open());
        CHECK(near.native_handle() >= 0);
        CHECK(must(near.peer()) == must(listener.local()));
        CHECK(must(far.local()) == must(listener.local()));
        CHECK(must(far.peer()) == must(near.local()));
        co_await send_all(near, "hello");
        co_await expect(far, "hello");
    });
}

TEST_CASE("a_connection_over_ipv6_reaches_its_listener") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto bound = tcp_listener::bind({"::1", 0});
        if (!bound) SKIP("no IPv6 here: " << bound.error().message());
        auto near = must(co_await tcp_stream::connect(must(bound->local())));
        auto far = must(co_await bound->accept());
        CHECK(must(near.peer()).family() == AF_INET6);
        co_await send_all(near, "hello");
        co_await expect(far, "hello");
    });
}

TEST_CASE("a_connection_to_nobody_is_refused") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        plain_socket taken = plain_socket::listening({"127.0.0.1", 0}, 1);
        const endpoint nobody = taken.local();
        taken.close();
        const auto refused = co_await tcp_stream::connect(nobody);
        CHECK(error_of(refused) == std::errc::connection_refused);
        const auto no_name = co_await unix_stream::connect(over_unix::somewhere());
        CHECK(error_of(no_name) == std::errc::connection_refused);
        const auto no_path = co_await unix_stream::connect(endpoint::parse("unix:/no/such/socket").value());
        CHECK(error_of(no_path) == std::errc::no_such_file_or_directory);
        const auto no_address = co_await tcp_stream::connect(endpoint());
        CHECK(error_of(no_address).value() == EAFNOSUPPORT);
    });
}

TEST_CASE("an_address_of_another_kind_is_refused") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const auto wrong = std::errc::address_family_not_supported;
        const endpoint internet{"127.0.0.1", 0};
        const endpoint local = over_unix::somewhere();
        CHECK(error_of(tcp_listener::bind(local)) == wrong);
        CHECK(error_of(unix_listener::bind(internet)) == wrong);
        CHECK(error_of(seqpacket_listener::bind(internet)) == wrong);
        const auto tcp = co_await tcp_stream::connect(local);
        CHECK(error_of(tcp) == wrong);
        const auto path = co_await unix_stream::connect(internet);
        CHECK(error_of(path) == wrong);
        const auto records = co_await seqpacket_stream::connect(internet);
        CHECK(error_of(records) == wrong);
        CHECK(error_of(udp_socket::connect(local)) == wrong);
        CHECK(error_of(udp_socket::bind(endpoint())) == wrong);
        CHECK(error_of(unix_datagram::connect(internet)) == wrong);
    });
}

TRANSPORT_TEST_CASE("the_options_of_a_connection_hold_from_its_start", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const socket_options wanted{.keep_alive = true, .send_buffer = 20'000, .receive_buffer = 30'000};
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        auto near = must(co_await over_any::stream::connect(must(listener.local()), wanted));
        CHECK(must(near.option(SOL_SOCKET, SO_KEEPALIVE)) != 0);
        CHECK(must(near.option(SOL_SOCKET, SO_SNDBUF)) == 2 * wanted.send_buffer); // the kernel doubles it
        CHECK(must(near.option(SOL_SOCKET, SO_RCVBUF)) == 2 * wanted.receive_buffer);
        if (over_any::tcp) CHECK(must(near.option(IPPROTO_TCP, TCP_NODELAY)) != 0);
        CHECK(error_of(near.set_option(SOL_SOCKET, -1, 0)).value() == ENOPROTOOPT);
        CHECK(error_of(near.option(SOL_SOCKET, -1)).value() == ENOPROTOOPT);
    });
}

TEST_CASE("the_options_of_tcp_can_be_changed", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_tcp>();
        must(pair.near.set_no_delay(false));
        CHECK(must(pair.near.option(IPPROTO_TCP, TCP_NODELAY)) == 0);
        must(pair.near.set_keep_alive(true));
        CHECK(must(pair.near.option(SOL_SOCKET, SO_KEEPALIVE)) != 0);
        must(pair.near.set_keep_alive(false));
        CHECK(must(pair.near.option(SOL_SOCKET, SO_KEEPALIVE)) == 0);
    });
}

TEST_CASE("a_connection_in_flight_can_be_cancelled", "[linux]") {
    const silent_listener nobody_answers;
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(connect_to<tcp_stream>(nobody_answers.at(), told));
            co_await settle();
            CHECK_FALSE(told.done);
            group.cancel();
        });
        CHECK(told.error == errc::cancelled);
    });
}

TRANSPORT_TEST_CASE("a_connect_in_a_cancelled_scope_opens_nothing", "[linux]") {
    executor home(options_for(GENERATE(both_modes())));
    home.run([]() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        outcome told;
        const auto opened = executor::current()->stats().descriptors_opened;
        co_await scope([&](task_group& group) -> task<> {
            group.cancel();
            group.spawn(connect_to<over_any::stream>(must(listener.local()), told));
            co_return;
        });
        CHECK(told.error == errc::cancelled);
        CHECK(executor::current()->stats().descriptors_opened == opened);
    }());
    check_baseline(home);
}

TEST_CASE("many_connections_are_in_flight_at_once") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        std::vector<outcome> outcomes(300); // more than the submission queue holds
        co_await scope([&](task_group& group) -> task<> {
            for (outcome& told : outcomes) group.spawn(connect_to<tcp_stream>(must(listener.local()), told));
            for (std::size_t count = 0; count < outcomes.size(); ++count) must(co_await listener.accept());
        });
        for (const outcome& told : outcomes) {
            REQUIRE(told.done);
            REQUIRE_FALSE(told.error);
        }
    });
}

TEST_CASE("connections_to_a_full_unix_backlog_wait_for_their_turn") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(unix_listener::bind(over_unix::somewhere(), {.socket = {}, .backlog = 1}));
        std::vector<outcome> outcomes(8);
        co_await scope([&](task_group& group) -> task<> {
            for (outcome& told : outcomes) group.spawn(connect_to<unix_stream>(must(listener.local()), told));
            co_await settle();
            for (std::size_t count = 0; count < outcomes.size(); ++count) must(co_await listener.accept());
        });
        for (const outcome& told : outcomes) {
            REQUIRE(told.done);
            CHECK_FALSE(told.error);
        }
    });
}

TEST_CASE("a_connection_to_a_full_unix_backlog_can_be_cancelled") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(unix_listener::bind(over_unix::somewhere(), {.socket = {}, .backlog = 1}));
        std::vector<outcome> outcomes(8);
        co_await scope([&](task_group& group) -> task<> {
            for (outcome& told : outcomes) group.spawn(connect_to<unix_stream>(must(listener.local()), told));
            co_await settle();
            group.cancel();
        });
        std::size_t cancelled = 0;
        for (const outcome& told : outcomes) {
            REQUIRE(told.done);
            if (told.error == errc::cancelled) ++cancelled;
        }
        CHECK(cancelled >= outcomes.size() - 2); // the backlog of 1 has room for 2
    });
}

TEST_CASE("an_established_connection_wins_over_a_late_cancellation") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        const endpoint at = must(listener.local());
        std::optional<tcp_stream> connected;
        outcome told;
        const auto connect = [&]() -> task<> {
            auto made = co_await tcp_stream::connect(at);
            told = {.done = true, .error = error_of(made)};
            if (made) connected = std::move(*made);
        };
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(connect());
            co_await one_turn(); // on loopback the handshake is over when the SQE has been taken
            group.cancel();
        });
        REQUIRE(told.done);
        if (connected) {
            auto peer = must(co_await listener.accept());
            co_await send_all(peer, "x");
            co_await expect(*connected, "x");
        } else {
            CHECK(told.error == errc::cancelled);
        }
    });
}
