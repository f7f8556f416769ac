// Sends without a copy, and connections in direct descriptors, in many worlds.
#include "simulation.hpp"

#include <deque>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr std::uint64_t owned_seeds = 200;
constexpr unsigned direct_clients = 5;
const endpoint served_at{"127.0.0.1", 7000};

struct owned_message {
    std::string bytes;
    std::size_t sent = 0; // as the result claims
};

task<> send_owned(tcp_stream& to, std::deque<owned_message>& sent, std::string bytes) {
    owned_message& message = sent.emplace_back(); // here: this is the order of the calls
    message.bytes = bytes;
    auto sending = to.send(std::move(bytes));
    (void)co_await sending;
    message.sent = sending.sent();
}

task<> send_owned_rounds(tcp_stream& to, sim::world& world, std::deque<owned_message>& sent) {
    const std::uint32_t rounds = 1 + world.choose(8, "rounds");
    for (std::uint32_t round = 0; round < rounds; ++round) {
        co_await scope([&](task_group& group) -> task<> {
            const std::uint32_t count = 1 + world.choose(4, "messages of a round");
            for (std::uint32_t message = 0; message < count; ++message) {
                const std::uint32_t size = 1 + world.choose(5000, "size of a message");
                group.spawn(send_owned(to, sent, random_text(size, static_cast<std::uint32_t>(sent.size()))));
            }
            if (world.choose(3, "cancel") != 0) co_return;
            const std::uint32_t turns = world.choose(4, "turns before the cancellation");
            for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
            group.cancel();
        });
    }
}

task<> read_in_peace(tcp_stream& from, sim::world& world, std::string& all) {
    for (;;) {
        if (world.choose(4, "the reader pauses") == 0) must(co_await chainring::sleep(10ms));
        const auto chunk = co_await from.receive();
        if (!chunk || chunk->empty()) co_return;
        all += chunk->text();
    }
}

task<> send_without_copies(sim::world& world) {
    auto listener = must(tcp_listener::bind(served_at));
    auto near = must(co_await tcp_stream::connect(served_at));
    auto far = must(co_await listener.accept());
    must(near.set_zero_copy(1024));
    std::deque<owned_message> sent;
    std::string arrived;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(read_in_peace(far, world, arrived));
        co_await send_owned_rounds(near, world, sent);
        (void)co_await near.close(1h);
    });
    std::string claimed;
    for (const owned_message& message : sent) claimed.append(message.bytes, 0, message.sent);
    CHECK(arrived.size() == claimed.size());
    CHECK((arrived == claimed));
    (void)co_await far.close();
    co_await until([] { return executor::current()->stats().operations_in_flight == 0; });
}

// It asks for its peer's address, which takes an ordinary descriptor, or ends by an abort.
task<> serve_directly(tcp_stream peer, sim::world& world) {
    if (world.choose(3, "ask for the peer") == 0) must(peer.peer());
    for (;;) {
        buffer chunk = must(co_await peer.receive());
        if (chunk.empty()) break;
        must(co_await peer.send(std::move(chunk)));
    }
    must(co_await peer.close());
}

task<> talk_to_direct_server(sim::world& world, std::uint32_t number) {
    auto stream = must(co_await tcp_stream::connect(served_at));
    const std::string text = random_text(1 + world.choose(5000, "size of a conversation"), number);
    std::string echoed;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(send_all(stream, text));
        echoed = co_await receive_exactly(stream, text.size());
    });
    CHECK((echoed == text));
    must(co_await stream.close());
}

task<> echo_through_direct_descriptors(sim::world& world) {
    auto listener = must(tcp_listener::bind(served_at, {.socket = {}, .direct_descriptors = true}));
    co_await scope([&](task_group& group) -> task<> {
        for (unsigned number = 0; number < direct_clients; ++number)
            group.spawn(talk_to_direct_server(world, number));
        auto incoming = listener.connections();
        for (unsigned number = 0; number < direct_clients; ++number)
            group.spawn(serve_directly(must(co_await incoming.next()), world));
    });
    CHECK(executor::current()->direct_descriptors().claimed() <= 1); // for the next connection
}

// Connections that end in any manner, in places of which there are few.
task<> end_directly(tcp_stream peer, sim::world& world) {
    const auto chunk = co_await timeout(5ms, peer.receive());
    if (chunk && world.choose(2, "answer") == 0) (void)co_await timeout(5ms, peer.send("answer"sv));
    if (world.choose(2, "abort") == 0) peer.abort();
}

task<> leave_direct_server(sim::world& world) {
    auto connected = co_await timeout(1s, tcp_stream::connect(served_at));
    if (!connected) co_return;
    if (world.choose(2, "send") == 0) (void)co_await timeout(5ms, connected->send("hello"sv));
    if (world.choose(3, "abort") == 0) connected->abort();
}

task<> go_away_through_direct_descriptors(sim::world& world) {
    auto listener = must(tcp_listener::bind(served_at, {.socket = {}, .direct_descriptors = true}));
    co_await scope([&](task_group& group) -> task<> {
        for (unsigned number = 0; number < direct_clients; ++number) group.spawn(leave_direct_server(world));
        const std::uint32_t enough = world.choose(direct_clients, "connections to accept");
        for (std::uint32_t number = 0; number < enough; ++number) {
            auto accepted = co_await timeout(10ms, listener.accept());
            if (accepted) group.spawn(end_directly(std::move(*accepted), world));
        }
        must(co_await listener.close());
    });
}

} // namespace

TEST_CASE("what_is_sent_without_a_copy_arrives_as_claimed_and_its_memory_stays_until_the_notification") {
    sim::each_seed(fewer(owned_seeds), [](sim::world& world) { in_world(world, send_without_copies); });
}

TEST_CASE("a_server_with_fewer_places_for_direct_descriptors_than_clients_serves_all_of_them") {
    sim::each_seed(
        fewer(owned_seeds), [](sim::world& world) { in_world(world, echo_through_direct_descriptors); });
}

TEST_CASE("connections_in_direct_descriptors_that_end_in_any_manner_give_their_places_back") {
    sim::each_seed(
        fewer(owned_seeds), [](sim::world& world) { in_world(world, go_away_through_direct_descriptors); });
}
