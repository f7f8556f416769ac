// A million messages of random size, with random cancellations, several coroutines on one connection, and buffers
// that are too small for all of them: what arrives is what the results claim, byte for byte, in the order of the
// calls.
#include "datagrams.hpp"
#include "sockets.hpp"

#include <catch2/catch_get_random_seed.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <random>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

// Of each kind of socket; for all five a million, and a part of that where everything takes longer.
// CHAINRING_ORDER_MESSAGES=1000000 is a long run.
unsigned messages_of_a_transport() {
    const char* given = std::getenv("CHAINRING_ORDER_MESSAGES");
    if (given != nullptr) return static_cast<unsigned>(std::stoul(given));
    return with_sanitizer ? 12'000 : optimized ? 200'000 : 30'000;
}

constexpr unsigned messages_of_a_connection = 4'000; // at most; a connection may break before
constexpr unsigned senders = 4;

// Most messages are of a few bytes, one in 50 is up to `longer`, one in 1,000 up to `longest`.
struct message_sizes {
    std::size_t longer;
    std::size_t longest;
};

// Longer than the socket's buffer, and than what one send of a chain carries: a send that falls short and does not
// end its chain leaves a hole.
constexpr message_sizes of_streams{.longer = 20'000, .longest = 600'000};
// What fits into the socket's buffer.
constexpr message_sizes of_records{.longer = 1500, .longest = 1500};

struct record {
    std::string bytes;
    std::size_t sent = 0; // by its result
    bool settled = false;
};

// One connection's messages, in the order of the calls.
class ledger {
  public:
    ledger(std::uint32_t seed, message_sizes sizes)
        : random_(seed)
        , sizes_(sizes) {}

    unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random_); }

    record& next() {
        std::size_t limit = 60;
        if (below(50) == 0) limit = below(20) == 0 ? sizes_.longest : sizes_.longer;
        const std::size_t size = 1 + below(static_cast<unsigned>(limit));
        record& made = records_.emplace_back();
        made.bytes.resize(size);
        for (std::size_t at = 0; at < size; at += 2) {
            const auto two = static_cast<std::uint16_t>(random_());
            std::memcpy(made.bytes.data() + at, &two, std::min<std::size_t>(2, size - at));
        }
        return made;
    }
    std::size_t size() const { return records_.size(); }

    // What must have arrived.
    std::string claimed() const {
        std::string all;
        for (const record& each : records_) {
            REQUIRE(each.settled);
            all.append(each.bytes, 0, each.sent);
        }
        return all;
    }

    // The same, message by message.
    std::vector<std::string> claimed_each() const {
        std::vector<std::string> all;
        for (const record& each : records_) {
            REQUIRE(each.settled);
            REQUIRE((each.sent == 0 || each.sent == each.bytes.size()));
            if (each.sent != 0) all.push_back(each.bytes);
        }
        return all;
    }

  private:
    std::minstd_rand random_;
    message_sizes sizes_;
    std::deque<record> records_;
};

template <class Stream> task<> send_one(Stream& to, ledger& messages, std::error_code& error) {
    record& message = messages.next(); // here: this is the order of the calls
    auto sending = to.send(std::string_view(message.bytes));
    const auto outcome = co_await sending;
    message.sent = sending.sent();
    message.settled = true;
    if (outcome)
        CHECK(*outcome == message.bytes.size());
    else
        error = outcome.error();
}

bool broke(std::error_code error) {
    return error && error != errc::cancelled;
}

template <class Stream> task<> send_some(Stream& to, ledger& messages, bool& broken) {
    while (!broken && messages.size() < messages_of_a_connection) {
        std::error_code error;
        if (messages.below(8) != 0) {
            co_await send_one(to, messages, error);
        } else { // several at once, cancelled at any time
            std::error_code errors[3];
            co_await scope([&](task_group& group) -> task<> {
                for (std::error_code& each : errors) group.spawn(send_one(to, messages, each));
                const unsigned wait = messages.below(4);
                for (unsigned turn = 0; turn < wait; ++turn) co_await one_turn();
                group.cancel();
            });
            for (const std::error_code& each : errors)
                if (broke(each)) error = each;
        }
        if (broke(error)) broken = true;
    }
}

template <class Stream> task<> collect(Stream& from, std::string& all) {
    for (;;) {
        auto chunk = co_await from.receive();
        if (!chunk || chunk->empty()) co_return; // a connection may have been broken by a cancellation
        all += chunk->text();
    }
}

template <class Over> task<> one_connection(std::uint32_t seed, message_sizes sizes, unsigned& count) {
    auto pair = co_await connected<Over>(4096);
    // Every other connection sends its batches another way, if it can.
    const send_path paths[] = {
        send_path::gathered, send_path::chained, send_path::gathered, send_path::bundled};
    (void)pair.near.set_send_path(paths[seed % 4]);
    ledger messages(seed, sizes);
    std::string arrived;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(collect(pair.far, arrived));
        bool broken = false;
        co_await scope([&](task_group& all) -> task<> {
            for (unsigned sender = 0; sender < senders; ++sender)
                all.spawn(send_some(pair.near, messages, broken));
            co_return;
        });
        (void)co_await pair.near.close();
    });
    count += static_cast<unsigned>(messages.size());
    const std::string claimed = messages.claimed();
    REQUIRE(arrived.size() == claimed.size());
    REQUIRE((arrived == claimed));
}

// Takes each datagram as it comes, until one that is longer than all.
task<> collect_datagrams(const plain_receiver& from, std::size_t longest, std::vector<std::string>& all) {
    for (;;) {
        std::optional<std::string> next = from.next();
        if (next && next->size() > longest) co_return;
        if (next)
            all.push_back(std::move(*next));
        else
            co_await one_turn();
    }
}

template <class Over> task<> one_flow(std::uint32_t seed, unsigned& count) {
    const plain_receiver far(Over::somewhere());
    auto near =
        must(Over::socket::connect(far.local(), Over::somewhere(), {.socket = {.send_buffer = 4096}}));
    ledger messages(seed, of_records);
    std::vector<std::string> arrived;
    bool ended = false;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn([](auto& from, std::size_t limit, auto& all, bool& end) -> task<> {
            co_await collect_datagrams(from, limit, all);
            end = true;
        }(far, of_records.longest, arrived, ended));
        bool broken = false;
        co_await scope([&](task_group& all) -> task<> {
            for (unsigned sender = 0; sender < senders; ++sender)
                all.spawn(send_some(near, messages, broken));
            co_return;
        });
        CHECK_FALSE(broken);
        const std::string last(of_records.longest + 1, 'x');
        const auto has_ended = [&ended] { return ended; };
        while (!has_ended()) { // the network may lose this one too
            must(co_await near.send(last));
            co_await one_turn();
        }
    });
    count += static_cast<unsigned>(messages.size());
    const std::vector<std::string> claimed = messages.claimed_each();
    if (std::is_same_v<Over, over_unix_datagrams>) {
        REQUIRE(arrived.size() == claimed.size());
        REQUIRE((arrived == claimed));
    } else { // UDP may lose what finds no room, and nothing else
        auto next = claimed.begin();
        for (const std::string& each : arrived) {
            next = std::find(next, claimed.end(), each);
            REQUIRE(next != claimed.end());
            ++next;
        }
        CHECK(arrived.size() > claimed.size() / 2);
    }
}

} // namespace

CONNECTION_TEST_CASE("a_million_messages_arrive_as_their_results_claim") {
    const message_sizes sizes = !over_any::carries_bytes() ? of_records : of_streams;
    const auto mode = GENERATE(both_modes());
    const std::uint32_t seed = Catch::getSeed();
    CAPTURE(seed);
    on_executor(mode, [&]() -> task<> {
        unsigned count = 0;
        for (std::uint32_t connection = 1; count < messages_of_a_transport() / 2; ++connection)
            co_await one_connection<over_any>(seed + connection, sizes, count);
    });
}

TEMPLATE_TEST_CASE("datagrams_arrive_whole_and_in_order_as_their_results_claim", "", EACH_KIND) {
    const auto mode = GENERATE(both_modes());
    const std::uint32_t seed = Catch::getSeed();
    CAPTURE(seed);
    on_executor(mode, [&]() -> task<> {
        unsigned count = 0;
        for (std::uint32_t flow = 1; count < messages_of_a_transport() / 2; ++flow)
            co_await one_flow<TestType>(seed + flow, count);
    });
}
