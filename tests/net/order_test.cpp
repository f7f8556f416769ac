// A million messages of random size, with random cancellations, several coroutines on one connection, and buffers
// that are too small for all of them: what arrives is what the results claim, byte for byte, in the order of the
// calls.
#include "sockets.hpp"

#include <catch2/catch_get_random_seed.hpp>

#include <deque>
#include <random>

using namespace chainring;
using namespace chainring::test;

namespace {

constexpr unsigned messages_of_a_transport = 334'000;
constexpr unsigned messages_of_a_connection = 4'000; // at most; a connection may break before
constexpr unsigned senders = 4;

struct record {
    std::string bytes;
    std::size_t sent = 0; // by its result
    bool settled = false;
};

// One connection's messages, in the order of the calls.
class ledger {
  public:
    explicit ledger(std::uint32_t seed)
        : random_(seed) {}

    unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random_); }

    // Mostly small, some longer than the socket's buffer, unless records must fit into one.
    record& next(std::size_t longest) {
        const std::size_t size = below(50) == 0 ? 1 + below(static_cast<unsigned>(longest)) : 1 + below(60);
        record& made = records_.emplace_back();
        made.bytes.resize(size);
        for (char& each : made.bytes) each = static_cast<char>(random_());
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

  private:
    std::minstd_rand random_;
    std::deque<record> records_;
};

template <class Stream>
task<> send_one(Stream& to, ledger& messages, std::size_t longest, std::error_code& error) {
    record& message = messages.next(longest); // here: this is the order of the calls
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

template <class Stream> task<> send_some(Stream& to, ledger& messages, std::size_t longest, bool& broken) {
    while (!broken && messages.size() < messages_of_a_connection) {
        std::error_code error;
        if (messages.below(8) != 0) {
            co_await send_one(to, messages, longest, error);
        } else { // several at once, cancelled at any time
            std::error_code errors[3];
            co_await scope([&](task_group& group) -> task<> {
                for (std::error_code& each : errors) group.spawn(send_one(to, messages, longest, each));
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

template <class Over> task<> one_connection(std::uint32_t seed, std::size_t longest, unsigned& count) {
    auto pair = co_await connected<Over>(4096);
    ledger messages(seed);
    std::string arrived;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(collect(pair.far, arrived));
        bool broken = false;
        co_await scope([&](task_group& all) -> task<> {
            for (unsigned sender = 0; sender < senders; ++sender)
                all.spawn(send_some(pair.near, messages, longest, broken));
            co_return;
        });
        (void)co_await pair.near.close();
    });
    count += static_cast<unsigned>(messages.size());
    const std::string claimed = messages.claimed();
    REQUIRE(arrived.size() == claimed.size());
    REQUIRE((arrived == claimed));
}

} // namespace

TEMPLATE_TEST_CASE(
    "a_million_messages_arrive_as_their_results_claim", "", over_tcp, over_unix, over_seqpacket) {
    // A record must fit into the socket's buffer.
    const bool records = std::is_same_v<TestType, over_seqpacket>;
    const std::size_t longest = records ? 1500 : 20'000;
    const auto mode = GENERATE(both_modes());
    const std::uint32_t seed = Catch::getSeed();
    CAPTURE(seed);
    on_executor(mode, [&]() -> task<> {
        unsigned count = 0;
        for (std::uint32_t connection = 1; count < messages_of_a_transport / 2; ++connection)
            co_await one_connection<TestType>(seed + connection, longest, count);
    });
}
