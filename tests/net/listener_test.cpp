#include "../temporary_directory.hpp"
#include "sockets.hpp"

#include <sys/stat.h>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

TRANSPORT_TEST_CASE("a_listener_accepts_connections_in_the_order_in_which_they_came") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        const endpoint at = must(listener.local());
        CHECK(listener.is_open());
        CHECK(listener.native_handle() >= 0);
        if (over_any::tcp) CHECK(at.port() != 0);
        std::vector<plain_socket> clients;
        for (int client = 0; client < 3; ++client) {
            clients.push_back(plain_socket::connected_to(at));
            CHECK(clients.back().send(std::to_string(client)));
        }
        for (int client = 0; client < 3; ++client) {
            auto peer = must(co_await listener.accept());
            co_await expect(peer, std::to_string(client));
        }
    });
}

TRANSPORT_TEST_CASE("an_address_in_use_is_refused") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        const endpoint at = must(listener.local());
        CHECK(error_of(over_any::listener::bind(at)) == std::errc::address_in_use);
        must(co_await listener.close());
        CHECK(over_any::listener::bind(at).has_value());
    });
}

TEST_CASE("two_listeners_share_a_port_if_both_say_so", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const listen_options shared{.socket = {.reuse_port = true}};
        auto first = must(tcp_listener::bind({"127.0.0.1", 0}, shared));
        auto second = tcp_listener::bind(must(first.local()), shared);
        CHECK(second.has_value());
        co_return;
    });
}

TEST_CASE("a_privileged_port_is_refused_to_ordinary_users") {
    if (::geteuid() == 0) SKIP("root may bind to any port");
    on_executor(task_work_mode::throughput, []() -> task<> {
        CHECK(error_of(tcp_listener::bind({"127.0.0.1", 80})) == std::errc::permission_denied);
        co_return;
    });
}

TEST_CASE("a_unix_path_that_cannot_be_made_is_refused", "[linux]") {
    const temporary_directory directory;
    const std::size_t before = open_descriptors();
    executor home;
    home.run([](const temporary_directory& place) -> task<> {
        CHECK(
            error_of(unix_listener::bind(endpoint::from_path(place.file("missing/socket")).value())) ==
            std::errc::no_such_file_or_directory);
        if (::geteuid() != 0) {
            ::mkdir(place.file("locked").c_str(), 0500);
            CHECK(
                error_of(unix_listener::bind(endpoint::from_path(place.file("locked/socket")).value())) ==
                std::errc::permission_denied);
        }
        CHECK(error_of(unix_listener::bind(endpoint())).value() == EAFNOSUPPORT);
        CHECK(error_of(tcp_listener::bind({"192.0.2.1", 0})) == std::errc::address_not_available);
        co_return;
    }(directory));
    check_baseline(home);
    CHECK(open_descriptors() == before + 2); // the ring and the executor's eventfd
}

TRANSPORT_TEST_CASE("binding_outside_of_an_executor_is_not_permitted") {
    CHECK(error_of(over_any::listener::bind(over_any::somewhere())) == std::errc::operation_not_permitted);
    executor idle;
    CHECK(error_of(over_any::listener::bind(over_any::somewhere())) == std::errc::operation_not_permitted);
}

TEST_CASE("a_unix_listener_removes_its_path_when_it_closes", "[linux]") {
    const temporary_directory directory;
    const std::string path = directory.file("socket");
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        const endpoint at = endpoint::from_path(path).value();
        {
            auto listener = must(unix_listener::bind(at));
            CHECK(std::filesystem::exists(path));
            CHECK(must(listener.local()) == at);
            CHECK(error_of(unix_listener::bind(at)) == std::errc::address_in_use);
            CHECK(std::filesystem::exists(path)); // the failed attempt has removed nothing
            must(co_await listener.close());
            CHECK_FALSE(std::filesystem::exists(path));
        }
        {
            auto listener = must(unix_listener::bind(at));
            CHECK(std::filesystem::exists(path));
        }
        CHECK_FALSE(std::filesystem::exists(path));
    });
}

TEST_CASE("a_unix_listener_that_closes_leaves_its_successors_path_alone", "[linux]") {
    const temporary_directory directory;
    const std::string path = directory.file("socket");
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        const endpoint at = endpoint::from_path(path).value();
        auto old = must(unix_listener::bind(at));
        std::filesystem::remove(path);
        auto successor = must(unix_listener::bind(at));
        must(co_await old.close());
        CHECK(std::filesystem::exists(path));
        must(co_await successor.close());
        CHECK_FALSE(std::filesystem::exists(path));
    });
}

TRANSPORT_TEST_CASE("a_closed_listener_accepts_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        over_any::listener unopened;
        CHECK_FALSE(unopened.is_open());
        CHECK(unopened.native_handle() == -1);
        const auto from_nothing = co_await unopened.accept();
        CHECK(error_of(from_nothing) == errc::closed);
        const auto close_of_nothing = co_await unopened.close();
        CHECK(error_of(close_of_nothing) == errc::closed);
        CHECK(error_of(unopened.local()) == errc::closed);

        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        must(co_await listener.close());
        CHECK_FALSE(listener.is_open());
        const auto accepted = co_await listener.accept();
        CHECK(error_of(accepted) == errc::closed);
        const auto again = co_await listener.close();
        CHECK(error_of(again) == errc::closed);
    });
}

TRANSPORT_TEST_CASE("closing_a_listener_ends_the_accept_that_waits_on_it") {
    const bool in_flight = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, told));
            if (in_flight) co_await settle();
            must(co_await listener.close());
        });
        CHECK(told.error == errc::closed);
    });
}

TRANSPORT_TEST_CASE("destroying_a_listener_ends_the_accept_that_waits_on_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        std::optional<over_any::listener> listener = must(over_any::listener::bind(over_any::somewhere()));
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(*listener, told));
            co_await settle();
            listener.reset();
        });
        CHECK(told.error == errc::closed);
    });
}

TRANSPORT_TEST_CASE("two_tasks_may_close_a_listener_at_the_same_time") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        int closed = 0;
        const auto close = [&]() -> task<> {
            (void)co_await listener.close();
            ++closed;
        };
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(close());
            group.spawn(close());
            co_return;
        });
        CHECK(closed == 2);
    });
}

TRANSPORT_TEST_CASE("a_cancelled_accept_takes_no_connection") {
    const bool in_flight = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, told));
            co_await one_turn();
            if (in_flight) co_await settle();
            group.cancel();
        });
        CHECK(told.error == errc::cancelled);
        CHECK(told.error == std::errc::operation_canceled);

        // The listener lives on.
        const plain_socket client = plain_socket::connected_to(must(listener.local()));
        must(co_await listener.accept());
    });
}

TEST_CASE("an_accept_in_a_cancelled_scope_is_not_started") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        const plain_socket client = plain_socket::connected_to(must(listener.local()));
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.cancel();
            group.spawn(accept_one(listener, told));
            co_return;
        });
        CHECK(told.error == errc::cancelled);
        must(co_await listener.accept());
    });
}

TRANSPORT_TEST_CASE("a_connection_that_arrives_while_its_accept_is_cancelled_is_not_lost") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        outcome told;
        std::optional<over_any::stream> accepted;
        const auto take_one = [&]() -> task<> {
            auto peer = co_await listener.accept();
            told = {.done = true, .error = error_of(peer)};
            if (peer) accepted = std::move(*peer);
        };
        plain_socket client;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(take_one());
            co_await settle();
            client = plain_socket::connected_to(must(listener.local()));
            group.cancel();
        });
        REQUIRE(told.done);
        if (!accepted) accepted = must(co_await listener.accept());
        CHECK(client.send("hello"));
        co_await expect(*accepted, "hello");
    });
}

TEST_CASE("an_accept_after_a_cancelled_and_abandoned_one_is_not_cancelled_with_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        outcome abandoned;
        {
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            group.spawn(accept_one(listener, abandoned));
            co_await settle();
            group.cancel();
        } // destroyed before the kernel has answered
        CHECK_FALSE(abandoned.done);
        const plain_socket client = plain_socket::connected_to(must(listener.local()));
        must(co_await listener.accept());
    });
}

TEST_CASE("a_second_task_that_accepts_is_told_that_the_listener_is_busy") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        outcome first;
        outcome second;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, first));
            group.spawn(accept_one(listener, second));
            co_await until([&] { return second.done; });
            CHECK(second.error == errc::busy);
            CHECK_FALSE(first.done);
            const plain_socket client = plain_socket::connected_to(must(listener.local()));
            co_await until([&] { return first.done; });
            CHECK_FALSE(first.error);
        });
    });
}

TEST_CASE("connections_inherit_the_options_of_their_listener", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const socket_options wanted{
            .no_delay = true, .keep_alive = true, .send_buffer = 20'000, .receive_buffer = 30'000};
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}, {.socket = wanted}));
        const plain_socket client = plain_socket::connected_to(must(listener.local()));
        auto peer = must(co_await listener.accept());
        CHECK(must(peer.option(IPPROTO_TCP, TCP_NODELAY)) != 0);
        CHECK(must(peer.option(SOL_SOCKET, SO_KEEPALIVE)) != 0);
        CHECK(must(peer.option(SOL_SOCKET, SO_SNDBUF)) == 2 * wanted.send_buffer); // the kernel doubles it
        CHECK(must(peer.option(SOL_SOCKET, SO_RCVBUF)) == 2 * wanted.receive_buffer);
    });
}

TEST_CASE("connections_of_a_unix_listener_have_its_buffer_sizes") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const socket_options wanted{.send_buffer = 20'000, .receive_buffer = 30'000};
        auto listener = must(unix_listener::bind(over_unix::somewhere(), {.socket = wanted}));
        const plain_socket client = plain_socket::connected_to(must(listener.local()));
        auto peer = must(co_await listener.accept());
        CHECK(must(peer.option(SOL_SOCKET, SO_SNDBUF)) == 2 * wanted.send_buffer);
        CHECK(must(peer.option(SOL_SOCKET, SO_RCVBUF)) == 2 * wanted.receive_buffer);
    });
}
