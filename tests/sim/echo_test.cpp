// Servers and clients written with the public interface, in many worlds: whatever the kernel does to them, each byte
// arrives once and in order.
#include "simulation.hpp"

using namespace chainring;
using namespace chainring::test;

namespace {

constexpr std::uint64_t seeds = 300;
constexpr unsigned clients = 4;

endpoint address_of(const over_tcp&) {
    return {"127.0.0.1", 7000};
}
template <class Over> endpoint address_of(const Over&) {
    return endpoint::from_abstract_name("echo").value();
}

template <class Stream> task<> send_in_parts(Stream& to, std::string_view text, sim::world& world) {
    while (!text.empty()) {
        const auto size = 1 + world.choose(static_cast<std::uint32_t>(text.size()), "size of a message");
        co_await send_all(to, text.substr(0, size));
        text.remove_prefix(size);
    }
    must(co_await to.shutdown());
}

template <class Over> task<> stream_client(sim::world& world, std::uint32_t number) {
    auto stream = must(co_await Over::stream::connect(address_of(Over())));
    const std::string text = random_text(1 + world.choose(20'000, "size of a conversation"), number);
    std::string echoed;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(send_in_parts(stream, text, world));
        echoed = co_await receive_to_end(stream);
    });
    CHECK(echoed.size() == text.size());
    CHECK((echoed == text));
    must(co_await stream.close());
}

// Records: several on their way at a time, each of which comes back whole.
task<> record_client(sim::world& world, std::uint32_t number) {
    auto stream = must(co_await seqpacket_stream::connect(address_of(over_seqpacket())));
    std::vector<std::string> records(1 + world.choose(20, "how many records"));
    for (std::string& each : records) each = random_text(1 + world.choose(200, "size of a record"), ++number);
    std::vector<std::string> echoed;
    co_await scope([&](task_group& group) -> task<> {
        for (const std::string& each : records) group.spawn(send_all(stream, each));
        while (echoed.size() < records.size()) {
            const buffer record = must(co_await stream.receive());
            echoed.emplace_back(record.text());
        }
    });
    CHECK((echoed == records));
    must(co_await stream.close());
}

template <class Over> task<> client(sim::world& world, std::uint32_t number) {
    if constexpr (std::is_same_v<Over, over_seqpacket>)
        co_await record_client(world, number);
    else
        co_await stream_client<Over>(world, number);
}

template <class Over> task<> serve_clients(sim::world& world) {
    auto listener = must(Over::listener::bind(address_of(Over())));
    co_await scope([&](task_group& group) -> task<> {
        for (unsigned number = 0; number < clients; ++number) group.spawn(client<Over>(world, number));
        for (unsigned number = 0; number < clients; ++number) {
            auto accepted = must(co_await listener.accept());
            group.spawn(echo_to_end(std::move(accepted)));
        }
    });
}

} // namespace

TEMPLATE_TEST_CASE(
    "an_echo_server_returns_every_byte_in_order_whatever_the_kernel_does", "", EACH_TRANSPORT,
    chainring::test::over_seqpacket) {
    sim::each_seed(fewer(seeds), [](sim::world& world) { in_world(world, serve_clients<TestType>); });
}

TEMPLATE_TEST_CASE(
    "the_same_seed_repeats_a_run_to_the_last_completion", "", EACH_TRANSPORT,
    chainring::test::over_seqpacket) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const course first = in_world(seed, serve_clients<TestType>);
        const course second = in_world(seed, serve_clients<TestType>);
        CHECK((first == second));
    }
}

TEST_CASE("another_seed_makes_another_run") {
    const course first = in_world(1, serve_clients<over_tcp>);
    const course second = in_world(2, serve_clients<over_tcp>);
    CHECK(first.hash != second.hash);
}
