// Connections in direct descriptors: as others, but none of the process's descriptors, and never more than there are
// places.
#include "short_of_descriptors.hpp"
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

executor_options with_places(task_work_mode mode, unsigned places) {
    executor_options options = options_for(mode);
    options.direct_descriptors = places;
    return options;
}

constexpr listen_options direct_listening{.socket = {}, .direct_descriptors = true};

template <class Over> struct accepted_pair {
    typename Over::stream stream;
    plain_socket peer;
    endpoint at;
};

template <class Over> task<accepted_pair<Over>> direct_pair() {
    auto listener = must(Over::listener::bind(Over::somewhere(), direct_listening));
    const endpoint at = must(listener.local());
    plain_socket peer = plain_socket::connected_to(at);
    auto stream = must(co_await listener.accept());
    co_return accepted_pair<Over>{std::move(stream), std::move(peer), at};
}

std::uint32_t claimed() {
    return executor::current()->direct_descriptors().claimed();
}

} // namespace

TRANSPORT_TEST_CASE("a_direct_connection_takes_no_descriptor_of_the_process", "[linux]") {
    executor home(with_places(GENERATE(both_modes()), 4));
    home.run([]() -> task<> {
        auto pair = co_await direct_pair<over_any>();
        co_await until([] { return executor::current()->stats().pending_closes == 0; }); // the listener's
        CHECK(pair.stream.native_handle() == -1);
        CHECK(claimed() == 1);
        const std::size_t before = open_descriptors();
        CHECK(pair.peer.send("there"));
        co_await expect(pair.stream, "there");
        must(co_await pair.stream.send("and back"));
        const std::string back = co_await read_plain(pair.peer, 8);
        CHECK(back == "and back");
        must(co_await pair.stream.write("one, "));
        must(co_await pair.stream.write("two"));
        must(co_await pair.stream.flush());
        const std::string gathered = co_await read_plain(pair.peer, 8);
        CHECK(gathered == "one, two");
        CHECK(open_descriptors() == before);

        pair.peer.close();
        const std::string rest = co_await receive_to_end(pair.stream);
        CHECK(rest.empty());
        must(co_await pair.stream.close());
        CHECK(open_descriptors() == before - 1);
        CHECK(claimed() == 0);
    }());
    check_baseline(home);
}

TRANSPORT_TEST_CASE("what_asks_a_direct_socket_works_too", "[linux]") {
    executor home(with_places(GENERATE(both_modes()), 4));
    home.run([]() -> task<> {
        auto pair = co_await direct_pair<over_any>();
        co_await until([] { return executor::current()->stats().pending_closes == 0; });
        const std::size_t before = open_descriptors();
        CHECK(must(pair.stream.peer()) == pair.peer.local());
        CHECK(must(pair.stream.local()) == pair.at);
        must(pair.stream.set_option(SOL_SOCKET, SO_KEEPALIVE, 1));
        CHECK(must(pair.stream.option(SOL_SOCKET, SO_KEEPALIVE)) == 1);
        CHECK(open_descriptors() == before + 1);

        must(co_await pair.stream.send("the last"));
        must(co_await pair.stream.shutdown());
        const std::string all = co_await read_plain_to_end(pair.peer);
        CHECK(all == "the last");
        CHECK(pair.peer.send("not yet"));
        co_await expect(pair.stream, "not yet");
        must(co_await pair.stream.close());
        CHECK(open_descriptors() == before);
        CHECK(claimed() == 0);
    }());
    check_baseline(home);
}

TRANSPORT_TEST_CASE("a_direct_connection_that_is_dropped_closes_and_one_that_is_aborted_resets", "[linux]") {
    short_of_descriptors kernel;
    executor home(with_places(GENERATE(both_modes()), 4), kernel);
    const bool abort = GENERATE(false, true);
    home.run([](bool aborted, short_of_descriptors& short_of) -> task<> {
        auto pair = co_await direct_pair<over_any>();
        CHECK(pair.peer.send("read"));
        co_await expect(pair.stream, "read"); // the receive stays armed
        short_of.begin();                     // neither takes an ordinary descriptor
        {
            auto dropped = std::move(pair.stream);
            if (aborted) dropped.abort();
        }
        co_await until([] { return claimed() == 0; });
        short_of.end();
        CHECK(how_it_ended(pair.peer) == (aborted && over_any::tcp ? ECONNRESET : 0));
    }(abort, kernel));
    check_baseline(home);
}

// Without the gate the kernel accepts the third connection and drops it.
TRANSPORT_TEST_CASE("no_connection_is_lost_while_every_place_is_taken", "[linux]") {
    const bool ahead = GENERATE(false, true);
    executor home(with_places(GENERATE(both_modes()), 2));
    home.run([](bool accepted_ahead) -> task<> {
        constexpr std::size_t clients = 7;
        auto listener = must(over_any::listener::bind(over_any::somewhere(), direct_listening));
        const auto serve = [&](task_group& sessions) -> task<> {
            if (!accepted_ahead) {
                for (std::size_t count = 0; count < clients; ++count)
                    sessions.spawn(echo_to_end(must(co_await listener.accept())));
                co_return;
            }
            auto connections = listener.connections();
            for (std::size_t count = 0; count < clients; ++count)
                sessions.spawn(echo_to_end(must(co_await connections.next())));
        };
        co_await scope([&](task_group& sessions) -> task<> {
            sessions.spawn(serve(sessions));
            std::vector<plain_socket> waiting;
            for (std::size_t client = 0; client < clients; ++client) {
                waiting.push_back(plain_socket::connected_to(must(listener.local())));
                CHECK(waiting.back().send("client " + std::to_string(client)));
            }
            co_await settle();
            CHECK(claimed() == 2);
            for (std::size_t client = 0; client < clients; ++client) {
                const std::string reply = co_await read_plain(waiting[client], 8);
                CHECK(reply == "client " + std::to_string(client));
                waiting[client].close();
            }
        });
        CHECK(claimed() == 0);
    }(ahead));
    check_baseline(home);
}

TRANSPORT_TEST_CASE("direct_connections_that_nobody_took_close_with_the_listener", "[linux]") {
    executor home(with_places(GENERATE(both_modes()), 8));
    const std::size_t before = open_descriptors(); // of which some have the numbers of the places
    home.run([]() -> task<> {
        std::vector<plain_socket> clients;
        {
            auto listener = must(over_any::listener::bind(over_any::somewhere(), direct_listening));
            auto connections = listener.connections();
            for (int client = 0; client < 3; ++client)
                clients.push_back(plain_socket::connected_to(must(listener.local())));
            auto first = must(co_await connections.next());
            co_await until([] { return claimed() >= 4; }); // two more, and one place for the next
        }
        co_await until([] { return claimed() == 0; });
    }());
    CHECK(open_descriptors() == before);
    check_baseline(home);
}

TRANSPORT_TEST_CASE("an_accept_that_is_cancelled_gives_its_place_back", "[linux]") {
    executor home(with_places(GENERATE(both_modes()), 1));
    home.run([]() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere(), direct_listening));
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from) -> task<> { (void)co_await from.accept(); }(listener));
            co_await until([] { return claimed() == 1; });
            group.cancel();
        });
        CHECK(claimed() == 0);
    }());
    check_baseline(home);
}

TRANSPORT_TEST_CASE("a_place_that_a_cancelled_accept_gives_back_is_for_another_listener", "[linux]") {
    executor home(with_places(GENERATE(both_modes()), 1));
    home.run([]() -> task<> {
        auto first = must(over_any::listener::bind(over_any::somewhere(), direct_listening));
        auto second = must(over_any::listener::bind(over_any::somewhere(), direct_listening));
        const auto take_one = [](auto& from, bool& taken) -> task<> {
            const auto stream = co_await from.accept();
            taken = stream.has_value();
        };
        bool first_taken = false;
        bool second_taken = false;
        co_await scope([&](task_group& group) -> task<> {
            co_await scope([&](task_group& cancelled) -> task<> {
                cancelled.spawn(take_one(first, first_taken));
                co_await until([] { return claimed() == 1; });
                group.spawn(take_one(second, second_taken));
                co_await settle();
                cancelled.cancel();
            });
            const auto client = plain_socket::connected_to(must(second.local()));
            co_await until([&] { return second_taken; });
        });
        CHECK_FALSE(first_taken);
    }());
    check_baseline(home);
}

TEST_CASE("direct_descriptors_need_a_table") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        CHECK(
            error_of(tcp_listener::bind({"127.0.0.1", 0}, direct_listening)) ==
            std::errc::operation_not_supported);
        co_return;
    });
}

TEST_CASE("options_that_a_direct_unix_connection_would_not_inherit_are_refused", "[linux]") {
    executor home(with_places(GENERATE(both_modes()), 2));
    home.run([]() -> task<> {
        const listen_options options{.socket = {.send_buffer = 4096}, .direct_descriptors = true};
        CHECK(
            error_of(unix_listener::bind(over_unix::somewhere(), options)) ==
            std::errc::operation_not_supported);
        co_return;
    }());
}
