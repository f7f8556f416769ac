// Many senders on one connection, cancellations, resets and lack of descriptors: what the results claim is what
// happened.
#include "simulation.hpp"

#include <deque>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t traffic_seeds = 200;

template <class Over> endpoint traffic_address() {
    if constexpr (Over::tcp)
        return {"127.0.0.1", 7000};
    else
        return endpoint::from_abstract_name("traffic").value();
}

template <class Over> task<stream_pair<Over>> simulated_pair() {
    auto listener = must(Over::listener::bind(traffic_address<Over>()));
    auto near = must(co_await Over::stream::connect(traffic_address<Over>()));
    auto far = must(co_await listener.accept());
    co_return stream_pair<Over>{std::move(near), std::move(far)};
}

struct traffic_message {
    std::string bytes;
    std::size_t sent = 0; // as the result claims
    bool settled = false;
};

// In the order of the calls.
class sent_traffic {
  public:
    traffic_message& next(std::uint32_t size) {
        traffic_message& made = messages_.emplace_back();
        made.bytes = random_text(size, static_cast<std::uint32_t>(messages_.size()));
        return made;
    }
    std::string claimed() const {
        std::string all;
        for (const traffic_message& each : messages_) {
            REQUIRE(each.settled);
            all.append(each.bytes, 0, each.sent);
        }
        return all;
    }

  private:
    std::deque<traffic_message> messages_;
};

template <class Stream> task<> send_traffic(Stream& to, sent_traffic& traffic, std::uint32_t size) {
    traffic_message& message = traffic.next(size); // here: this is the order of the calls
    auto sending = to.send(std::string_view(message.bytes));
    const auto outcome = co_await sending;
    message.sent = sending.sent();
    message.settled = true;
    if (outcome) CHECK(*outcome == message.bytes.size());
}

// Sends a few messages at a time, and loses patience with some.
template <class Over>
task<>
send_with_cancellations(typename Over::stream& to, sim::world& world, sent_traffic& traffic, bool cancels) {
    constexpr bool records = std::is_same_v<Over, over_seqpacket>;
    const auto any_size = [&world]() -> std::uint32_t {
        // A record must fit into the smallest block that a world has.
        if (records) return 1 + world.choose(256, "size of a record");
        // More than one send carries, now and then: those of a batch are then linked.
        const std::uint32_t longest = world.choose(20, "a long message") == 0 ? 200'000 : 1500;
        return 1 + world.choose(longest, "size of a message");
    };
    const std::uint32_t rounds = 1 + world.choose(10, "rounds");
    for (std::uint32_t round = 0; round < rounds; ++round) {
        co_await scope([&](task_group& group) -> task<> {
            const std::uint32_t count = 1 + world.choose(5, "messages of a round");
            for (std::uint32_t sent = 0; sent < count; ++sent)
                group.spawn(send_traffic(to, traffic, any_size()));
            if (!cancels || world.choose(2, "cancel") == 0) co_return;
            const std::uint32_t turns = world.choose(4, "turns before the cancellation");
            for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
            group.cancel();
        });
    }
}

// The reader is in no hurry.
template <class Stream> task<> read_slowly(Stream& from, sim::world& world, std::string& all) {
    for (;;) {
        if (world.choose(4, "the reader pauses") == 0) must(co_await chainring::sleep(10ms));
        const auto chunk = co_await from.receive();
        if (!chunk || chunk->empty()) co_return; // a cancellation may have broken the connection
        all += chunk->text();
    }
}

template <class Over, bool Cancels> task<> congested_connection(sim::world& world) {
    auto pair = co_await simulated_pair<Over>();
    sent_traffic traffic;
    std::string arrived;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(read_slowly(pair.far, world, arrived));
        co_await scope([&](task_group& senders) -> task<> {
            for (int sender = 0; sender < 3; ++sender)
                senders.spawn(send_with_cancellations<Over>(pair.near, world, traffic, Cancels));
            co_return;
        });
        (void)co_await pair.near.close(1h);
    });
    const std::string claimed = traffic.claimed();
    CHECK(arrived.size() == claimed.size());
    CHECK((arrived == claimed));
}

// What a connection may end with when the peer does as it likes.
bool is_expected(std::error_code error) {
    return error == errc::timed_out || error == std::errc::connection_reset ||
           error == std::errc::broken_pipe || error == errc::broken || error == errc::never_started;
}

// For a short while, in one of the two ways.
template <class Stream> task<std::error_code> receive_something(Stream& from, sim::world& world) {
    if (world.choose(2, "receive into memory") == 0) {
        const auto chunk = co_await timeout(5ms, from.receive());
        co_return error_of(chunk);
    }
    std::byte memory[300];
    const auto size = co_await timeout(5ms, from.receive_into(memory));
    co_return error_of(size);
}

// Ends its connection in one of the ways there are, at some point of a conversation.
template <class Stream> task<> converse_for_a_while(Stream peer, sim::world& world) {
    const std::string text(200, 'x');
    const std::uint32_t rounds = world.choose(20, "rounds");
    for (std::uint32_t round = 0; round < rounds; ++round) {
        std::error_code error;
        if (world.choose(2, "send or receive") == 0) {
            const auto sent =
                co_await timeout(5ms, peer.send(std::string_view(text))); // the peer may be slow
            error = error_of(sent);
        } else {
            error = co_await receive_something(peer, world);
        }
        if (error) CHECK(is_expected(error));
        if (error && error != errc::timed_out) break;
    }
    const std::uint32_t manner = world.choose(3, "manner of the end");
    if (manner == 0) peer.abort();
    if (manner == 1) (void)co_await peer.close(20ms);
    // Else the connection closes by itself.
}

template <class Over> task<> connect_and_converse(sim::world& world) {
    auto connected = co_await timeout(5ms, Over::stream::connect(traffic_address<Over>()));
    if (connected)
        co_await converse_for_a_while(std::move(*connected), world);
    else
        CHECK(
            (connected.error() == errc::timed_out || connected.error() == std::errc::connection_refused ||
             connected.error() == std::errc::connection_reset));
}

// Its backlog is short, and it closes when it has had enough, whoever waits.
template <class Over> task<> server_that_goes_away(sim::world& world) {
    const int backlog = static_cast<int>(world.choose(4, "backlog"));
    listen_options options;
    options.backlog = backlog;
    auto listener = must(Over::listener::bind(traffic_address<Over>(), options));
    co_await scope([&](task_group& group) -> task<> {
        for (int number = 0; number < 6; ++number) group.spawn(connect_and_converse<Over>(world));
        auto incoming = listener.connections();
        const std::uint32_t enough = world.choose(7, "connections to accept");
        for (std::uint32_t number = 0; number < enough; ++number) {
            auto accepted = co_await timeout(10ms, incoming.next());
            if (!accepted) break;
            group.spawn(converse_for_a_while(std::move(*accepted), world));
            if (world.choose(3, "the server pauses") == 0) must(co_await chainring::sleep(3ms));
        }
        must(co_await listener.close());
    });
}

template <class Over> task<> come_again(sim::world& world) {
    const std::uint32_t visits = 1 + world.choose(6, "visits");
    for (std::uint32_t visit = 0; visit < visits; ++visit) {
        auto stream = must(co_await Over::stream::connect(traffic_address<Over>()));
        const auto sent = co_await stream.send(std::string_view("hello"));
        if (!sent) CHECK(is_expected(sent.error()));
        (void)co_await timeout(1ms, stream.receive());
        (void)co_await stream.close(); // so that its descriptor is free before the next one is taken
    }
}

template <class Stream> task<> serve_one_visit(Stream peer, sim::world& world) {
    (void)co_await timeout(
        std::chrono::microseconds(world.choose(1500, "how long to serve")), peer.receive());
    if (world.choose(2, "abort") == 1) peer.abort();
}

// A server that has heard enough: the client, which still sends, hears its last words and then the end.
task<> say_goodbye_to_who_still_sends(sim::world& world) {
    world.heal(); // what has not arrived within a second may be lost
    auto pair = co_await simulated_pair<over_tcp>();
    const std::string text(100 + world.choose(20'000, "size of what nobody reads"), 'x');
    const std::string goodbye = random_text(1 + world.choose(1500, "size of the last words"), 7);
    std::string heard;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn([](tcp_stream& to, const std::string& sent) -> task<> {
            (void)co_await to.send(std::string_view(sent));
            (void)co_await to.shutdown();
        }(pair.near, text));
        std::byte first[10];
        must(co_await pair.far.receive_into(first));
        must(co_await pair.far.write(std::string_view(goodbye)));
        group.spawn([](tcp_stream& ending) -> task<> { (void)co_await ending.close(); }(pair.far));
        heard = co_await receive_to_end(pair.near);
    });
    CHECK((heard == goodbye));
}

template <class Stream> task<> write_until_refused(Stream& to, sim::world& world, std::string& given) {
    for (std::uint32_t round = 0; round < 50; ++round) {
        const std::string text = random_text(1 + world.choose(300, "size of a message"), round);
        const auto written = co_await to.write(std::string_view(text));
        if (!written) {
            CHECK(written.error() == errc::closed);
            co_return;
        }
        given += text;
        if (world.choose(2, "a pause") == 1) co_await one_turn();
    }
}

template <class Over> task<> half_close_while_others_write(sim::world& world) {
    auto pair = co_await simulated_pair<Over>();
    std::string given;
    std::string arrived;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(write_until_refused(pair.near, world, given));
        group.spawn([](auto& from, std::string& all) -> task<> {
            all = co_await receive_to_end(from);
        }(pair.far, arrived));
        const std::uint32_t turns = world.choose(8, "turns before the half-close");
        for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
        must(co_await pair.near.shutdown());
    });
    CHECK((arrived == given));
}

// There are just as many descriptors as clients and accepted connections may have.
template <class Over> task<> server_at_its_limit(sim::world& world, sim::simulated_kernel& kernel) {
    constexpr unsigned visitors = 4;
    listen_options options;
    options.max_connections = 1 + world.choose(2, "limit of connections");
    auto listener = must(Over::listener::bind(traffic_address<Over>(), options));
    kernel.limit_descriptors(kernel.open_descriptors() + visitors + options.max_connections);
    co_await scope([&](task_group& sessions) -> task<> {
        co_await scope([&](task_group& servers) -> task<> {
            servers.spawn([](auto& from, task_group& group, sim::world& within) -> task<> {
                for (;;) {
                    auto accepted = co_await from.accept();
                    if (!accepted) co_return;
                    group.spawn(serve_one_visit(std::move(*accepted), within));
                }
            }(listener, sessions, world));
            co_await scope([&](task_group& clients_of) -> task<> {
                for (unsigned number = 0; number < visitors; ++number)
                    clients_of.spawn(come_again<Over>(world));
                co_return;
            });
            must(co_await listener.close());
        });
    });
    if (world.knobs().failed_accept == 0) CHECK(executor::current()->stats().accepts_deferred == 0);
}

} // namespace

TEMPLATE_TEST_CASE(
    "a_listener_at_its_limit_of_connections_never_needs_a_descriptor_more", "", EACH_TRANSPORT,
    chainring::test::over_seqpacket) {
    sim::each_seed(
        fewer(traffic_seeds), [](sim::world& world) { in_world(world, server_at_its_limit<TestType>); });
}

TEMPLATE_TEST_CASE(
    "what_several_tasks_send_on_a_congested_connection_arrives_in_the_order_of_the_calls", "", EACH_TRANSPORT,
    chainring::test::over_seqpacket) {
    sim::each_seed(fewer(traffic_seeds), [](sim::world& world) {
        in_world(world, congested_connection<TestType, false>);
    });
}

TEMPLATE_TEST_CASE(
    "what_arrives_in_spite_of_cancellations_is_what_the_results_claim", "", EACH_TRANSPORT,
    chainring::test::over_seqpacket) {
    sim::each_seed(fewer(traffic_seeds), [](sim::world& world) {
        in_world(world, congested_connection<TestType, true>);
    });
}

TEMPLATE_TEST_CASE(
    "connections_that_end_at_any_time_in_any_manner_leave_nothing_behind", "", EACH_TRANSPORT,
    chainring::test::over_seqpacket) {
    sim::each_seed(
        fewer(traffic_seeds), [](sim::world& world) { in_world(world, server_that_goes_away<TestType>); });
}

TEST_CASE("who_still_sends_hears_the_last_words_of_a_server_that_closes") {
    sim::each_seed(
        fewer(traffic_seeds), [](sim::world& world) { in_world(world, say_goodbye_to_who_still_sends); });
}

TEMPLATE_TEST_CASE("a_half_close_loses_nothing_that_others_have_written", "", EACH_TRANSPORT) {
    sim::each_seed(fewer(traffic_seeds), [](sim::world& world) {
        in_world(world, half_close_while_others_write<TestType>);
    });
}
