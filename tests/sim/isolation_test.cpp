// Hosts that are cut off for a while.
#include "../net/datagrams.hpp"
#include "simulation.hpp"

#include <chainring/sim/isolated_host.hpp>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr std::uint64_t isolation_seeds = 300;
const std::string far_host = "10.0.0.1";

endpoint service() {
    return {far_host, 7000};
}

// Both ways: what was sent meanwhile is neither there nor lost.
task<> talk_through_an_isolation(sim::world&, sim::simulated_kernel& kernel) {
    auto listener = must(tcp_listener::bind({"0.0.0.0", 7000}));
    auto near = must(co_await tcp_stream::connect(service()));
    auto far = must(co_await listener.accept());
    {
        const sim::isolated_host lost(kernel, far_host);
        must(co_await near.send("there"sv));
        must(co_await far.send("back"sv));
        must(co_await far.shutdown());
        const auto here = co_await timeout(1s, near.receive());
        CHECK(error_of(here) == errc::timed_out);
        const auto there = co_await timeout(1s, far.receive());
        CHECK(error_of(there) == errc::timed_out);
    }
    must(co_await near.shutdown());
    const std::string back = co_await receive_to_end(near);
    CHECK(back == "back");
    const std::string arrived = co_await receive_to_end(far);
    CHECK(arrived == "there");
}

task<> isolate_for(duration time, sim::simulated_kernel& kernel) {
    const sim::isolated_host lost(kernel, far_host);
    must(co_await chainring::sleep(time));
}

// Of another host nothing is missed, and in the end the connect gets through; or it is given up.
task<> connect_to_an_isolated_host(sim::world& world, sim::simulated_kernel& kernel) {
    auto listener = must(tcp_listener::bind({"0.0.0.0", 7000}));
    const time_point begun = world.now();
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(isolate_for(10s, kernel));
        co_await yield();
        const auto impatient = co_await timeout(1s, tcp_stream::connect(service()));
        CHECK(error_of(impatient) == errc::timed_out);
        auto other = must(co_await tcp_stream::connect({"10.0.0.2", 7000}));
        // Where a timeout may pass before what is ready, this connect may outlast the isolation.
        if (world.knobs().silence == 0) CHECK(world.now() - begun < 10s);
        other.abort();
        auto patient = must(co_await tcp_stream::connect(service()));
        CHECK(world.now() - begun >= 10s);
        patient.abort();
    });
}

task<> send_datagrams_to_an_isolated_host(sim::world&, sim::simulated_kernel& kernel) {
    const endpoint near_end("10.0.0.2", 7000);
    auto near = must(chainring::udp_socket::connect(service(), near_end));
    auto far = must(chainring::udp_socket::connect(near_end, service()));
    {
        const sim::isolated_host once(kernel, far_host);
        const sim::isolated_host twice(kernel, far_host);
        must(co_await near.send("lost"sv));
        const auto nothing = co_await timeout(1s, far.receive());
        CHECK(error_of(nothing) == errc::timed_out);
    }
    must(co_await near.send("found"sv));
    const datagram got = must(co_await far.receive());
    CHECK(got.text() == "found");
}

} // namespace

TEST_CASE("what_is_sent_to_and_from_an_isolated_host_arrives_when_it_is_back") {
    sim::each_seed(
        fewer(isolation_seeds), [](sim::world& world) { in_world(world, talk_through_an_isolation); });
}

TEST_CASE("a_connect_to_an_isolated_host_waits_until_it_is_back_or_is_given_up") {
    sim::each_seed(
        fewer(isolation_seeds), [](sim::world& world) { in_world(world, connect_to_an_isolated_host); });
}

TEST_CASE("datagrams_to_an_isolated_host_are_lost") {
    sim::world world(1, {});
    in_world(world, send_datagrams_to_an_isolated_host);
}

TEST_CASE("a_host_that_is_no_numeric_address_cannot_be_isolated") {
    sim::world world(1, {});
    sim::simulated_kernel kernel(world);
    CHECK_THROWS_AS(sim::isolated_host(kernel, "localhost"), std::invalid_argument);
}
