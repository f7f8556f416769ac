// Datagram sockets without a peer on the simulated kernel.
#include "../net/datagrams.hpp"
#include "simulation.hpp"

#include <set>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr std::uint64_t datagram_socket_seeds = 200;

endpoint of_the_server() {
    return {"127.0.0.1", 7001};
}

// Until it is cancelled.
template <class Socket> task<> echo_all(Socket& socket) {
    for (;;) {
        auto got = co_await socket.receive();
        if (!got) co_return;
        const endpoint from = got->from();
        const result<void> written = co_await socket.write_to(from, got->take_payload());
        if (!written) co_return;
    }
}

// What comes back was sent, comes from the server, and comes once.
task<> ask(sim::world& world, std::uint16_t port, std::size_t& answered) {
    auto client = must(chainring::udp_socket::bind({"127.0.0.1", port}));
    std::set<std::string> sent;
    const std::uint32_t count = 1 + world.choose(20, "datagrams of a client");
    for (std::uint32_t number = 0; number < count; ++number) {
        const std::size_t size = world.choose(300, "size of a datagram");
        const std::string text = std::to_string(port) + ' ' + std::to_string(number) + std::string(size, 'x');
        sent.insert(text);
        must(co_await client.send_to(of_the_server(), text));
        if (world.choose(4, "the client waits for an answer") != 0) continue;
        std::array<std::byte, 400> memory{};
        const auto got = co_await timeout(10ms, client.receive_into(memory));
        if (!got) continue;
        CHECK(got->from == of_the_server());
        CHECK(
            sent.erase(std::string(reinterpret_cast<const char*>(memory.data()), got->payload.size())) == 1);
        ++answered;
    }
    for (;;) {
        const auto got = co_await timeout(1s, client.receive());
        if (!got) break;
        CHECK(got->from() == of_the_server());
        CHECK(sent.erase(std::string(got->text())) == 1);
        ++answered;
    }
    must(co_await client.close());
}

task<> serve_several_clients(sim::world& world) {
    auto server = must(chainring::udp_socket::bind(of_the_server()));
    std::size_t answered = 0;
    co_await scope([&](task_group& serving) -> task<> {
        serving.spawn(echo_all(server));
        co_await scope([&](task_group& clients) -> task<> {
            for (std::uint16_t port = 7101; port < 7104; ++port) clients.spawn(ask(world, port, answered));
            co_return;
        });
        serving.cancel();
    });
    if (world.knobs().lost_datagram == 0 && world.knobs().failed_operation == 0) CHECK(answered != 0);
}

task<> send_to_a_slow_unix_receiver(sim::world& world) {
    const endpoint at = endpoint::from_abstract_name("slow").value();
    auto receiver = must(unix_datagram::bind(at));
    auto sender = must(unix_datagram::bind(endpoint::from_abstract_name("sender").value()));
    constexpr std::size_t count = 40; // the receiver's queue holds ten
    co_await scope([&](task_group& group) -> task<> {
        group.spawn([](unix_datagram& from, sim::world& in) -> task<> {
            for (std::size_t number = 0; number < count; ++number) {
                if (in.choose(4, "the reader pauses") == 0) must(co_await chainring::sleep(3ms));
                const datagram got = must(co_await from.receive());
                REQUIRE(got.text() == std::to_string(number));
                REQUIRE(got.from() == endpoint::from_abstract_name("sender").value());
            }
        }(receiver, world));
        for (std::size_t number = 0; number < count; ++number)
            must(co_await sender.write_to(at, std::to_string(number)));
        must(co_await sender.flush());
    });
    must(co_await sender.close());
    must(co_await receiver.close());
}

} // namespace

TEST_CASE("each_client_of_a_datagram_socket_gets_answers_to_what_it_has_asked_and_none_twice") {
    sim::each_seed(
        fewer(datagram_socket_seeds), [](sim::world& world) { in_world(world, serve_several_clients); });
}

TEST_CASE("unix_datagrams_to_somebody_who_is_slow_wait_and_arrive_in_order") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        sim::world world(seed, {.later = 300, .late_delivery = 300});
        in_world(world, send_to_a_slow_unix_receiver);
    }
}
