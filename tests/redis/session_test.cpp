// The server and its clients in many simulated worlds: whatever the kernel does to their bytes, each client gets the replies to what it
// has asked for, in that order.
#include "../../samples/redis/session.hpp"
#include "../sim/simulation.hpp"

using namespace chainring;
using namespace chainring::test;

namespace {

constexpr std::uint64_t worlds_of_redis = 100;
const endpoint server_address{"127.0.0.1", 6379};

template <class... Words> std::string packed(const Words&... words) {
    redis::replies text;
    text.array(sizeof...(words));
    (text.bulk(words), ...);
    return text.take();
}

struct conversation {
    std::string requests;
    redis::replies expected;
};

// What only this client does to keys of its own.
conversation drawn_conversation(sim::world& world, const std::string& name) {
    conversation made;
    const std::string key = "counter of " + name;
    const std::string list = "list of " + name;
    long long count = 0;
    for (auto left = 1 + world.choose(50, "how many requests"); left != 0; --left) {
        switch (world.choose(5, "which request")) {
        case 0:
            made.requests += packed("INCR", key);
            made.expected.integer(++count);
            break;
        case 1: {
            const std::string text = random_text(world.choose(3000, "size of a value"), left);
            made.requests += packed("SET", key, text) + packed("GET", key) + packed("SET", key, "0");
            made.expected.ok();
            made.expected.bulk(text);
            made.expected.ok();
            count = 0;
            break;
        }
        case 2:
            made.requests += "echo 'typed by " + name + "'\r\n";
            made.expected.bulk("typed by " + name);
            break;
        case 3:
            made.requests +=
                packed("DEL", list) + packed("RPUSH", list, "a", "b") + packed("LRANGE", list, "0", "-1");
            made.expected.integer(0);
            made.expected.integer(2);
            made.expected.array(2);
            made.expected.bulk("a");
            made.expected.bulk("b");
            made.requests += packed("DEL", list);
            made.expected.integer(1);
            break;
        default: made.requests += packed("PUBLISH", "nobody listens", name); made.expected.integer(0);
        }
    }
    return made;
}

task<> send_and_end(tcp_stream& to, std::string_view text, sim::world& world) {
    while (!text.empty()) {
        const auto size = 1 + world.choose(static_cast<std::uint32_t>(text.size()), "size of a part");
        co_await send_all(to, text.substr(0, size));
        text.remove_prefix(size);
    }
    must(co_await to.shutdown());
}

task<> ask(sim::world& world, std::string name) {
    auto stream = must(co_await tcp_stream::connect(server_address));
    const conversation held = drawn_conversation(world, name);
    std::string replied;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(send_and_end(stream, held.requests, world));
        replied = co_await receive_to_end(stream);
    });
    CHECK((replied == held.expected.text()));
    must(co_await stream.close());
}

// It hears all that was said between its confirmation and its leave.
task<> listen_to_channel(event& listening, std::string_view expected) {
    auto stream = must(co_await tcp_stream::connect(server_address));
    co_await send_all(stream, packed("SUBSCRIBE", "news"));
    redis::replies confirmed;
    confirmed.array(3);
    confirmed.bulk("subscribe");
    confirmed.bulk("news");
    confirmed.integer(1);
    const std::string first = co_await receive_exactly(stream, confirmed.size());
    CHECK(first == confirmed.text());
    listening.set();
    const std::string heard = co_await receive_exactly(stream, expected.size());
    CHECK(heard == expected);
    must(co_await stream.close());
}

task<> tell(event& listening, std::string_view message) {
    must(co_await listening.wait());
    auto stream = must(co_await tcp_stream::connect(server_address));
    co_await send_all(stream, packed("PUBLISH", "news", message) + packed("QUIT"));
    const std::string replied = co_await receive_to_end(stream);
    CHECK(replied == ":1\r\n+OK\r\n");
    must(co_await stream.close());
}

task<> serve_one(tcp_stream client, const redis::shards& all) {
    redis::session whole(std::move(client), all, 0, {});
    co_await whole.serve();
}

// All of a server's keys, on this executor.
struct only_shard {
    redis::shard own;
    redis::shards all{1};

    only_shard() { all.set(0, {&this_executor(), &own}); }
};

task<> serve_and_ask(sim::world& world) {
    constexpr int askers = 4;
    only_shard keys;
    event listening;
    const std::string message = random_text(2000, 7);
    redis::replies expected;
    expected.array(3);
    expected.bulk("message");
    expected.bulk("news");
    expected.bulk(message);
    auto listener = must(tcp_listener::bind(server_address));
    co_await scope([&](task_group& group) -> task<> {
        for (int number = 0; number < askers; ++number) group.spawn(ask(world, std::to_string(number)));
        group.spawn(listen_to_channel(listening, expected.text()));
        group.spawn(tell(listening, message));
        for (int number = 0; number < askers + 2; ++number) {
            auto accepted = must(co_await listener.accept());
            group.spawn(serve_one(std::move(accepted), keys.all));
        }
    });
    CHECK(keys.own.figures.connected == 0);
    CHECK(keys.own.listening.count() == 0);
}

task<> serve_who_reads_late(sim::world&) {
    only_shard keys;
    const std::string text = random_text(1 << 20, 7);
    redis::replies expected;
    expected.ok();
    expected.bulk(text);
    expected.ok();
    auto listener = must(tcp_listener::bind(server_address));
    co_await scope([&](task_group& group) -> task<> {
        auto stream = must(co_await tcp_stream::connect(server_address));
        auto accepted = must(co_await listener.accept());
        group.spawn(serve_one(std::move(accepted), keys.all));
        co_await send_all(stream, packed("SET", "key", text) + packed("GET", "key") + packed("QUIT"));
        must(co_await chainring::sleep(1min)); // longer than a close would wait
        const std::string replied = co_await receive_to_end(stream);
        CHECK((replied == expected.text()));
        must(co_await stream.close());
    });
    CHECK(keys.own.figures.connected == 0);
}

} // namespace

TEST_CASE("each_client_of_redis_gets_its_replies_in_order_whatever_the_kernel_does") {
    sim::each_seed(fewer(worlds_of_redis), [](sim::world& world) { in_world(world, serve_and_ask); });
}

TEST_CASE("a_client_of_redis_that_quits_gets_its_replies_however_late_it_reads") {
    sim::each_seed(fewer(10), [](sim::world& world) { in_world(world, serve_who_reads_late); });
}
