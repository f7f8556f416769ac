// Datagrams on the simulated kernel: those of unix sockets arrive all and in order, those of UDP may get lost.
#include "../net/datagrams.hpp"
#include "simulation.hpp"

#include <map>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr std::uint64_t datagram_seeds = 300;

endpoint first_end() {
    return {"127.0.0.1", 7001};
}
endpoint second_end() {
    return {"127.0.0.1", 7002};
}

// A datagram says its number.
std::string numbered(std::uint32_t number, std::uint32_t size) {
    std::string text = std::to_string(number) + ' ';
    if (text.size() < size) text.resize(size, 'x');
    return text;
}

// Sends some at a time, and loses patience with some. `told`: how each of them has ended.
using ends_by_number = std::map<std::uint32_t, std::error_code>;

template <class Socket> task<> send_numbered(Socket& to, std::string text, std::error_code& told) {
    const auto outcome = co_await to.send(std::string_view(text));
    told = error_of(outcome);
}

template <class Socket> task<> send_rounds(Socket& to, sim::world& world, ends_by_number& told) {
    const std::uint32_t rounds = 1 + world.choose(10, "rounds");
    for (std::uint32_t round = 0; round < rounds; ++round) {
        co_await scope([&](task_group& group) -> task<> {
            const std::uint32_t count = 1 + world.choose(20, "datagrams of a round");
            for (std::uint32_t sent = 0; sent < count; ++sent) {
                const auto number = static_cast<std::uint32_t>(told.size());
                // It must fit into the smallest block that a world has.
                std::string text = numbered(number, world.choose(256, "size of a datagram"));
                group.spawn(send_numbered(to, std::move(text), told[number]));
            }
            if (world.choose(4, "cancel") != 0) co_return;
            const std::uint32_t turns = world.choose(4, "turns before the cancellation");
            for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
            group.cancel();
        });
        if (world.choose(4, "the sender pauses") == 0) must(co_await chainring::sleep(10ms));
    }
}

// What arrives before a long silence.
task<> receive_numbers(chainring::udp_socket& from, sim::world& world, std::vector<std::uint32_t>& arrived) {
    for (;;) {
        if (world.choose(8, "the reader pauses") == 0) must(co_await chainring::sleep(3ms));
        const auto got = co_await timeout(1s, from.receive());
        if (!got && got.error() == errc::timed_out) co_return;
        if (!got)
            CHECK(got.error() == std::errc::connection_refused);
        else
            arrived.push_back(static_cast<std::uint32_t>(std::stoul(std::string(got->text()))));
    }
}

task<> udp_in_one_direction(sim::world& world) {
    auto near = must(chainring::udp_socket::connect(second_end(), first_end()));
    auto far = must(chainring::udp_socket::connect(first_end(), second_end()));
    ends_by_number told;
    std::vector<std::uint32_t> arrived;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(receive_numbers(far, world, arrived));
        group.spawn(send_rounds(near, world, told));
        co_return;
    });
    const bool in_order = std::ranges::is_sorted(arrived);
    if (world.knobs().overtaken_datagram == 0) CHECK(in_order);
    std::ranges::sort(arrived);
    CHECK(std::ranges::adjacent_find(arrived) == arrived.end());
    for (const std::uint32_t number : arrived) CHECK_FALSE(told.at(number));
    for (const auto& [number, error] : told) CHECK((!error || error == errc::cancelled));
    must(co_await near.close());
    must(co_await far.close());
}

// A plain socket that receives what is sent to its name.
class plain_sink {
  public:
    explicit plain_sink(const endpoint& at)
        : behind_(executor::current()->behind())
        , descriptor_(behind_.open_socket(at.family(), SOCK_DGRAM, 0)) {
        REQUIRE(behind_.bind(descriptor_, at.address(), at.length()) == 0);
    }
    plain_sink(const plain_sink&) = delete;
    plain_sink& operator=(const plain_sink&) = delete;
    ~plain_sink() { behind_.close(descriptor_); }

    task<result<std::string>> next() const {
        std::string room(300, ' ');
        const auto size = co_await uring(
            [&](io_uring_sqe& sqe) { io_uring_prep_recv(&sqe, descriptor_, room.data(), room.size(), 0); });
        if (!size) co_return failure(size.error());
        room.resize(static_cast<std::size_t>(*size));
        co_return room;
    }

  private:
    kernel& behind_;
    int descriptor_;
};

task<>
read_numbers_until_last(const plain_sink& from, sim::world& world, std::vector<std::uint32_t>& arrived) {
    for (;;) {
        if (world.choose(8, "the reader pauses") == 0) must(co_await chainring::sleep(3ms));
        const std::string text = must(co_await from.next());
        if (text == "last") co_return;
        arrived.push_back(static_cast<std::uint32_t>(std::stoul(text)));
    }
}

task<> unix_datagrams_to_a_slow_reader(sim::world& world) {
    const endpoint at = endpoint::from_abstract_name("sink").value();
    const plain_sink sink(at);
    auto near = must(unix_datagram::connect(at));
    ends_by_number told;
    std::vector<std::uint32_t> arrived;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(read_numbers_until_last(sink, world, arrived));
        co_await send_rounds(near, world, told);
        must(co_await near.send("last"sv));
    });
    std::vector<std::uint32_t> claimed;
    for (const auto& [number, error] : told) {
        CHECK((!error || error == errc::cancelled));
        if (!error) claimed.push_back(number);
    }
    CHECK(arrived == claimed);
    must(co_await near.close());
}

task<> tell_of_an_absent_peer(sim::world&) {
    auto near = must(chainring::udp_socket::connect(second_end()));
    must(co_await near.send("nobody"sv));
    const auto refused = co_await near.receive();
    CHECK(error_of(refused) == std::errc::connection_refused);
    const plain_sink sink(second_end());
    must(co_await near.send("somebody"sv));
    const std::string got = must(co_await sink.next());
    CHECK(got == "somebody");
    const std::string longest(65'508, 'x');
    const auto too_long = co_await near.send(std::string_view(longest));
    CHECK(error_of(too_long) == std::errc::message_size);
}

task<> send_to_a_unix_peer_that_goes(sim::world&) {
    const endpoint at = endpoint::from_abstract_name("sink").value();
    std::optional<plain_sink> sink(at);
    auto near = must(unix_datagram::connect(at));
    sink.reset();
    const auto first = co_await near.send("into the void"sv);
    CHECK(error_of(first) == std::errc::connection_refused);
    const auto second = co_await near.send("again"sv);
    CHECK(error_of(second) == std::errc::not_connected);
    const auto nobody = unix_datagram::connect(at);
    CHECK(error_of(nobody) == std::errc::connection_refused);
}

task<> send_empty_datagrams(sim::world&) {
    auto near = must(chainring::udp_socket::connect(second_end(), first_end()));
    auto far = must(chainring::udp_socket::connect(first_end(), second_end()));
    for (const std::string_view text : {"before"sv, ""sv, "behind"sv}) must(co_await near.send(text));
    for (const std::string_view text : {"before"sv, ""sv, "behind"sv}) {
        const datagram got = must(co_await far.receive());
        CHECK(got.text() == text);
    }
}

} // namespace

TEST_CASE("of_udp_datagrams_none_arrives_twice_or_unsent_and_none_overtakes_another_by_the_librarys_doing") {
    sim::each_seed(fewer(datagram_seeds), [](sim::world& world) { in_world(world, udp_in_one_direction); });
}

TEST_CASE("unix_datagrams_arrive_as_the_results_claim_in_the_order_of_the_calls_however_slow_the_reader") {
    sim::each_seed(
        fewer(datagram_seeds), [](sim::world& world) { in_world(world, unix_datagrams_to_a_slow_reader); });
}

TEST_CASE("an_absent_udp_peer_is_told_of_once_and_a_datagram_that_is_too_long_fails_alone") {
    sim::world world(1, {});
    in_world(world, tell_of_an_absent_peer);
}

TEST_CASE("a_unix_datagram_socket_whose_peer_goes_is_refused_once_and_then_has_no_peer") {
    sim::world world(1, {});
    in_world(world, send_to_a_unix_peer_that_goes);
}

TEST_CASE("an_empty_datagram_ends_a_multishot_receive_and_is_received_in_its_place") {
    sim::world world(1, {});
    in_world(world, send_empty_datagrams);
}

TEST_CASE("knobs_lose_udp_datagrams_and_let_them_overtake_each_other") {
    std::size_t lost = 0;
    bool overtaken = false;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        sim::world world(seed, {.late_delivery = 500, .lost_datagram = 200, .overtaken_datagram = 500});
        in_world(world, [&](sim::world&) -> task<> {
            const plain_sink sink(second_end());
            auto near = must(chainring::udp_socket::connect(second_end()));
            for (std::uint32_t number = 0; number < 20; ++number)
                must(co_await near.write(numbered(number, 0)));
            must(co_await near.flush());
            std::vector<unsigned long> arrived;
            for (;;) {
                const auto text = co_await timeout(1min, sink.next());
                if (!text) break;
                arrived.push_back(std::stoul(*text));
            }
            lost += 20 - arrived.size();
            overtaken |= !std::ranges::is_sorted(arrived);
        });
    }
    CHECK(lost > 20);
    CHECK(lost < 200);
    CHECK(overtaken);
}
