// Connections as a stream, accepted ahead of who takes them, and the limit of connections.
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;

namespace {

template <class Next> task<> take(Next next, bool& done, std::error_code& error) {
    auto accepted = co_await next();
    error = error_of(accepted);
    done = true;
}

listen_options limited_to(unsigned connections) {
    listen_options options;
    options.max_connections = connections;
    return options;
}

bool has_ended(const plain_socket& client) {
    bool ended = false;
    client.read_now(&ended);
    return ended;
}

} // namespace

TRANSPORT_TEST_CASE("all_connections_of_a_stream_come_from_one_operation") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        const endpoint at = must(listener.local());
        co_await settle(); // what the executor itself submits is on its way
        auto connections = listener.connections();
        const auto sqes = executor::current()->stats().sqes;
        for (int client = 0; client < 10; ++client) {
            const plain_socket peer = plain_socket::connected_to(at);
            CHECK(peer.send(std::to_string(client)));
            auto accepted = must(co_await connections.next());
            if (client == 0) CHECK(executor::current()->stats().sqes == sqes + 1);
            co_await expect(accepted, std::to_string(client));
        }
        CHECK(executor::current()->stats().operations_in_flight >= 1);
    });
}

TRANSPORT_TEST_CASE("connections_that_nobody_took_close_with_their_listener") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        std::vector<plain_socket> clients;
        {
            auto listener = must(over_any::listener::bind(over_any::somewhere()));
            auto connections = listener.connections();
            for (int client = 0; client < 5; ++client)
                clients.push_back(plain_socket::connected_to(must(listener.local())));
            co_await settle();
            must(co_await connections.next());
            must(co_await listener.close());
            const auto after = co_await connections.next();
            CHECK(error_of(after) == errc::closed);
        }
        for (const plain_socket& client : clients) co_await until([&] { return has_ended(client); });
    });
}

TRANSPORT_TEST_CASE("connections_accepted_ahead_outlive_their_stream") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        std::vector<plain_socket> clients;
        {
            auto connections = listener.connections();
            for (int client = 0; client < 3; ++client) {
                clients.push_back(plain_socket::connected_to(must(listener.local())));
                CHECK(clients.back().send(std::to_string(client)));
            }
            co_await settle();
        }
        for (int client = 0; client < 3; ++client) {
            auto accepted = must(co_await listener.accept());
            co_await expect(accepted, std::to_string(client));
        }
    });
}

TEST_CASE("a_stream_stops_accepting_ahead_when_nobody_takes", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        const endpoint at = must(listener.local());
        auto connections = listener.connections();
        std::vector<plain_socket> clients;
        const auto accepts = [] { return executor::current()->stats().operations_in_flight; };
        co_await until([&] { return accepts() == 1; });
        for (int client = 0; client < 40; ++client) clients.push_back(plain_socket::connected_to(at));
        co_await until([&] { return accepts() == 0; });
        const std::size_t descriptors = open_descriptors();
        clients.push_back(plain_socket::connected_to(at));
        co_await settle();
        CHECK(open_descriptors() == descriptors + 1);
        for (std::size_t taken = 0; taken < clients.size(); ++taken) must(co_await connections.next());
    });
}

TEST_CASE("a_stream_may_be_cancelled_and_goes_on") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        auto connections = listener.connections();
        bool done = false;
        std::error_code error;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(take([&] { return connections.next(); }, done, error));
            co_await settle();
            group.cancel();
        });
        CHECK(error == errc::cancelled);
        const plain_socket client = plain_socket::connected_to(must(listener.local()));
        must(co_await connections.next());
    });
}

TRANSPORT_TEST_CASE("a_listener_waits_at_its_limit_until_a_connection_has_closed") {
    const bool streaming = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere(), limited_to(2)));
        std::optional<connection_stream<over_any::stream>> connections;
        if (streaming) connections.emplace(listener);
        std::vector<plain_socket> clients;
        for (int client = 0; client < 3; ++client)
            clients.push_back(plain_socket::connected_to(must(listener.local())));
        auto first = must(co_await listener.accept());
        auto second = must(co_await listener.accept());
        co_await scope([&](task_group& group) -> task<> {
            bool done = false;
            std::error_code error;
            group.spawn(take([&] { return listener.accept(); }, done, error));
            co_await settle();
            CHECK_FALSE(done);
            must(co_await first.close());
            co_await until([&] { return done; });
            CHECK_FALSE(error);
        });
        {
            bool done = false; // the third one is gone already, and its place is free
            std::error_code error;
            clients.push_back(plain_socket::connected_to(must(listener.local())));
            co_await take([&] { return listener.accept(); }, done, error);
            CHECK_FALSE(error);
        }
    });
}

TEST_CASE("connections_may_outlive_a_listener_with_a_limit") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        std::optional<tcp_stream> accepted;
        plain_socket client;
        {
            auto listener = must(tcp_listener::bind({"127.0.0.1", 0}, limited_to(1)));
            client = plain_socket::connected_to(must(listener.local()));
            accepted = must(co_await listener.accept());
            must(co_await listener.close());
        }
        CHECK(client.send("late"));
        co_await expect(*accepted, "late");
    });
}
