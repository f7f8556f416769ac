// Datagrams of both kinds beside a cancellation and a close: each arrives whole and once if its sender hears so, and not at all if not.
#include "small_worlds.hpp"

#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

constexpr sim::faults datagram_faults{
    .later = 1, .hold_back = 1, .short_send = 1, .early_end = 1, .in_passing = 1, .elusive = 1};

struct udp_at_hand {
    using socket = chainring::udp_socket;
    static endpoint near() { return {"127.0.0.1", 7001}; }
    static endpoint far() { return {"127.0.0.1", 7002}; }
};

struct unix_at_hand {
    using socket = unix_datagram;
    static endpoint near() { return endpoint::from_abstract_name("near").value(); }
    static endpoint far() { return endpoint::from_abstract_name("far").value(); }
};

#define EACH_DATAGRAM udp_at_hand, unix_at_hand

using texts = std::vector<std::string>;
const std::string last_datagram = "the last one";
// Of a unix socket that is about to close also EPIPE.
const std::error_code peer_gone(ECONNREFUSED, std::system_category());

// What its sender was told.
struct told_datagram {
    std::string text;
    std::error_code error;
    bool settled = false;
};

template <class Socket> task<> send_one(Socket& to, told_datagram& said, std::error_code may_be) {
    const auto outcome = co_await to.send(std::string_view(said.text));
    said.settled = true;
    said.error = error_of(outcome);
    if (!outcome)
        CHECK((
            outcome.error() == may_be || (may_be == peer_gone && outcome.error() == std::errc::broken_pipe)));
}

// Two at once, which are one batch.
template <class Socket>
task<> send_two(Socket& to, std::array<told_datagram, 2>& said, std::error_code may_be) {
    co_await scope([&](task_group& group) -> task<> {
        for (told_datagram& each : said) group.spawn(send_one(to, each, may_be));
        co_return;
    });
}

std::array<told_datagram, 2> two_datagrams() {
    return {told_datagram{.text = "one", .error = {}}, told_datagram{.text = "another", .error = {}}};
}

texts confirmed(const std::array<told_datagram, 2>& said) {
    texts all;
    for (const told_datagram& each : said) {
        CHECK(each.settled);
        if (!each.error) all.push_back(each.text);
    }
    return all;
}

// Whatever is there, up to the last one, which a third socket sends.
template <class Over> task<texts> all_that_arrived(typename Over::socket& at) {
    auto third = must(Over::socket::connect(Over::far()));
    texts all;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn([](typename Over::socket& to) -> task<> {
            must(co_await to.send(std::string_view(last_datagram)));
        }(third));
        for (;;) {
            const auto got = must(co_await at.receive());
            if (got.text() == last_datagram) break;
            all.emplace_back(got.text());
        }
    });
    must(co_await third.close());
    co_return all;
}

template <class Over> task<> cancel_datagrams(sim::world& world) {
    auto far = must(Over::socket::bind(Over::far()));
    auto near = must(Over::socket::connect(Over::far(), Over::near()));
    auto said = two_datagrams();
    world.set(datagram_faults);
    co_await run_and_cancel(world, send_two(near, said, errc::cancelled));
    world.heal();
    const texts arrived = co_await all_that_arrived<Over>(far);
    CHECK(arrived == confirmed(said));
    must(co_await near.close());
    must(co_await far.close());
}

template <class Over> task<> close_beside_datagrams(sim::world& world) {
    auto far = must(Over::socket::bind(Over::far()));
    auto near = must(Over::socket::connect(Over::far(), Over::near()));
    auto said = two_datagrams();
    world.set(datagram_faults);
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(send_two(near, said, errc::closed));
        co_await some_turns(world, 2);
        must(co_await near.close());
    });
    world.heal();
    const texts arrived = co_await all_that_arrived<Over>(far);
    CHECK(arrived == confirmed(said));
    must(co_await far.close());
}

// The queue of its receiver is full, and nobody reads it.
task<> end_a_send_that_waits_for_room(sim::world& world, sim::simulated_kernel& kernel, bool closes) {
    auto far = must(unix_datagram::bind(unix_at_hand::far()));
    auto near = must(unix_datagram::connect(unix_at_hand::far(), unix_at_hand::near()));
    std::size_t before = 0;
    while (kernel.send(near.native_handle(), "full", 4) > 0) ++before;
    auto said = two_datagrams();
    world.set(datagram_faults);
    if (closes) {
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_two(near, said, errc::closed));
            co_await some_turns(world, 2);
            // Of what waits, it tells that it was not sent.
            (void)co_await near.close(std::chrono::nanoseconds(0));
        });
    } else {
        co_await run_and_cancel(world, send_two(near, said, errc::cancelled));
    }
    world.heal();
    CHECK(confirmed(said).empty());
    const texts arrived = co_await all_that_arrived<unix_at_hand>(far);
    CHECK(arrived == texts(before, "full"));
    if (!closes) must(co_await near.close());
    must(co_await far.close());
}

template <class Socket> task<> receive_one(Socket& from, texts& heard, std::error_code may_be) {
    const auto got = co_await from.receive();
    if (got) heard.emplace_back(got->text());
    if (!got) CHECK(got.error() == may_be);
}

template <class Socket> task<> receive_one_into(Socket& from, texts& heard, std::error_code may_be) {
    std::array<std::byte, 100> memory;
    const auto got = co_await from.receive_into(memory);
    if (got) heard.emplace_back(reinterpret_cast<const char*>(memory.data()), got->payload.size());
    if (!got) CHECK(got.error() == may_be);
}

template <class Over>
using datagram_receive = task<> (*)(typename Over::socket& from, texts& heard, std::error_code may_be);

template <class Over> task<> cancel_receive_of_datagram(sim::world& world, datagram_receive<Over> receive) {
    auto far = must(Over::socket::bind(Over::far()));
    auto near = must(Over::socket::connect(Over::far(), Over::near()));
    auto said = two_datagrams();
    texts heard;
    world.set(datagram_faults);
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(send_two(near, said, {}));
        co_await run_and_cancel(world, receive(far, heard, errc::cancelled));
    });
    world.heal();
    const texts rest = co_await all_that_arrived<Over>(far);
    heard.insert(heard.end(), rest.begin(), rest.end());
    CHECK(heard == texts{"one", "another"});
    must(co_await near.close());
    must(co_await far.close());
}

template <class Over>
task<> close_beside_receive_of_datagram(sim::world& world, datagram_receive<Over> receive) {
    auto far = must(Over::socket::bind(Over::far()));
    auto near = must(Over::socket::connect(Over::far(), Over::near()));
    told_datagram said{.text = "one", .error = {}};
    texts heard;
    world.set(datagram_faults);
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(receive(far, heard, errc::closed));
        // Who sends over UDP hears later that nobody is there.
        group.spawn(send_one(near, said, peer_gone));
        co_await some_turns(world, 3);
        must(co_await far.close());
    });
    world.heal();
    if (!heard.empty()) CHECK(heard == texts{"one"});
    if (said.error) CHECK(heard.empty());
    must(co_await near.close());
}

template <class Body> void datagrams_everywhere(std::uint64_t at_least, Body body) {
    in_every_world(at_least, {}, {.faults = 1}, body);
}

} // namespace

TEMPLATE_TEST_CASE(
    "datagrams_that_are_cancelled_in_every_world_arrive_if_they_were_sent", "", EACH_DATAGRAM) {
    datagrams_everywhere(100, cancel_datagrams<TestType>);
}

TEMPLATE_TEST_CASE(
    "a_close_beside_datagrams_loses_none_that_was_confirmed_in_every_world", "", EACH_DATAGRAM) {
    datagrams_everywhere(100, close_beside_datagrams<TestType>);
}

TEST_CASE("datagrams_that_wait_for_room_end_by_a_cancellation_and_by_a_close_in_every_world") {
    const bool closes = GENERATE(false, true);
    datagrams_everywhere(20, [closes](sim::world& world, sim::simulated_kernel& kernel) {
        return end_a_send_that_waits_for_room(world, kernel, closes);
    });
}

TEST_CASE("a_receive_of_datagrams_that_is_cancelled_in_every_world_loses_none") {
    datagrams_everywhere(100, [](sim::world& world) {
        return cancel_receive_of_datagram<unix_at_hand>(world, receive_one<unix_datagram>);
    });
}

TEST_CASE("a_receive_of_a_datagram_into_memory_that_is_cancelled_in_every_world_loses_none") {
    datagrams_everywhere(100, [](sim::world& world) {
        return cancel_receive_of_datagram<udp_at_hand>(world, receive_one_into<chainring::udp_socket>);
    });
}

TEMPLATE_TEST_CASE("a_close_beside_a_receive_of_datagrams_ends_it_in_every_world", "", EACH_DATAGRAM) {
    const auto receive =
        GENERATE(receive_one<typename TestType::socket>, receive_one_into<typename TestType::socket>);
    datagrams_everywhere(50, [receive](sim::world& world) {
        return close_beside_receive_of_datagram<TestType>(world, receive);
    });
}
