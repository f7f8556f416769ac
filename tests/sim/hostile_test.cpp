// Worlds in which operations fail, descriptors run out and the clock jumps: the program hears of it and copes, and what
// the results claim is still what happened.
#include "simulation.hpp"

#include <deque>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr std::uint64_t hostile_seeds = 200;
constexpr unsigned stubborn_clients = 4;

template <class Over> endpoint hostile_address() {
    if constexpr (Over::tcp)
        return {"127.0.0.1", 7000};
    else
        return endpoint::from_abstract_name("hostile").value();
}

const sim::seed_options hostile{.given = sim::faults::with_errors};

template <class Over> task<typename Over::listener> listen_in_the_end() {
    for (;;) {
        auto listener = Over::listener::bind(hostile_address<Over>());
        if (listener) co_return std::move(*listener);
        CHECK(listener.error() == std::errc::too_many_files_open);
        must(co_await chainring::sleep(1ms));
    }
}

template <class Over> task<result<std::string>> one_attempt(std::string text) {
    auto stream = co_await Over::stream::connect(hostile_address<Over>());
    if (!stream) co_return failure(stream.error());
    auto sending = stream->send(std::string_view(text));
    const auto sent = co_await sending;
    if (!sent) co_return failure(sent.error());
    std::string echoed;
    while (echoed.size() < text.size()) {
        const auto chunk = co_await stream->receive();
        if (!chunk) co_return failure(chunk.error());
        if (chunk->empty()) break; // the server has given up
        echoed += chunk->text();
    }
    CHECK((echoed == text.substr(0, echoed.size())));
    (void)co_await stream->close();
    co_return echoed;
}

// Tries until its text comes back whole.
template <class Over> task<> stubborn_client(sim::world& world, std::uint32_t number, unsigned& left) {
    // A record must fit into the smallest block that a world has.
    const std::string text = random_text(1 + world.choose(256, "size of a conversation"), number);
    for (std::string echoed; echoed != text;) {
        const auto outcome = co_await timeout(10s, one_attempt<Over>(text));
        if (outcome)
            echoed = *outcome;
        else
            must(co_await chainring::sleep(1ms));
    }
    --left;
}

template <class Stream> task<> echo_while_it_works(Stream peer) {
    for (;;) {
        auto chunk = co_await timeout(10s, peer.receive());
        if (!chunk || chunk->empty()) break;
        const auto sent = co_await peer.send(std::move(*chunk));
        if (!sent) break;
    }
}

template <class Over> task<> serve_stubborn_clients(sim::world& world) {
    auto listener = co_await listen_in_the_end<Over>();
    unsigned left = stubborn_clients;
    const auto all_served = [&left] { return left == 0; };
    co_await scope([&](task_group& group) -> task<> {
        for (std::uint32_t number = 0; number < stubborn_clients; ++number)
            group.spawn(stubborn_client<Over>(world, number, left));
        while (!all_served()) {
            auto accepted = co_await timeout(1s, listener.accept());
            if (accepted)
                group.spawn(echo_while_it_works(std::move(*accepted)));
            else
                CHECK(accepted.error() == errc::timed_out);
        }
    });
    (void)co_await listener.close();
}

struct hostile_message {
    std::string bytes;
    std::size_t sent = 0; // as the result claims
};

template <class Stream>
task<> send_into_danger(Stream& to, sim::world& world, std::deque<hostile_message>& all) {
    const std::uint32_t count = 1 + world.choose(30, "messages");
    for (std::uint32_t number = 0; number < count; ++number) {
        hostile_message& message = all.emplace_back(); // here: this is the order of the calls
        message.bytes = random_text(1 + world.choose(256, "size of a message"), number);
        auto sending = to.send(std::string_view(message.bytes));
        const auto outcome = co_await sending;
        message.sent = sending.sent();
        if (outcome) CHECK(message.sent == message.bytes.size());
        if (!outcome) co_return;
    }
}

template <class Over> task<> claims_in_danger(sim::world& world) {
    auto listener = co_await listen_in_the_end<Over>();
    auto near = co_await Over::stream::connect(hostile_address<Over>());
    if (!near) co_return;
    auto far = co_await listener.accept();
    if (!far) co_return;
    std::deque<hostile_message> sent;
    std::string arrived;
    bool whole = false; // the reader has seen the end
    co_await scope([&](task_group& group) -> task<> {
        group.spawn([](typename Over::stream& from, std::string& all, bool& ended) -> task<> {
            for (;;) {
                const auto chunk = co_await from.receive();
                ended = chunk && chunk->empty();
                if (!chunk || ended) break;
                all += chunk->text();
            }
            (void)co_await from.close();
        }(*far, arrived, whole));
        co_await send_into_danger(*near, world, sent);
        (void)co_await near->close(100h);
    });
    std::string claimed;
    for (const hostile_message& message : sent) claimed.append(message.bytes, 0, message.sent);
    CHECK(arrived.size() <= claimed.size());
    CHECK((arrived == claimed.substr(0, arrived.size())));
    if (whole) CHECK(arrived.size() == claimed.size());
}

// True: the kernel was heard to answer `error`.
bool fails_with(std::errc error, const sim::faults& knobs, auto body) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        sim::world world(seed, knobs);
        bool heard = false;
        in_world(world, [&](sim::world&) -> task<> { co_await body(error, heard); });
        if (heard) return true;
    }
    return false;
}

task<> hear_of_a_connect(std::errc error, bool& heard) {
    auto listener = must(tcp_listener::bind({"127.0.0.1", 7000}));
    const auto stream = co_await tcp_stream::connect({"127.0.0.1", 7000});
    heard = error_of(stream) == error;
}

task<> hear_of_a_listener(std::errc error, bool& heard) {
    heard = error_of(tcp_listener::bind({"127.0.0.1", 7000})) == error;
    co_return;
}

} // namespace

TEMPLATE_TEST_CASE(
    "clients_that_try_again_are_served_in_the_end_whatever_fails", "", EACH_TRANSPORT,
    chainring::test::over_seqpacket) {
    sim::each_seed(
        fewer(hostile_seeds), [](sim::world& world) { in_world(world, serve_stubborn_clients<TestType>); },
        hostile);
}

TEMPLATE_TEST_CASE(
    "what_arrives_is_what_the_results_claim_although_operations_fail", "", EACH_TRANSPORT,
    chainring::test::over_seqpacket) {
    sim::each_seed(
        fewer(hostile_seeds), [](sim::world& world) { in_world(world, claims_in_danger<TestType>); },
        hostile);
}

TEST_CASE("a_knob_lets_single_operations_fail_with_errnos_that_linux_may_give_them") {
    for (const std::errc error : {std::errc::network_unreachable, std::errc::timed_out})
        CHECK(fails_with(error, {.failed_operation = 500}, hear_of_a_connect));
    CHECK_FALSE(fails_with(std::errc::timed_out, {}, hear_of_a_connect));
}

TEST_CASE("a_knob_lets_descriptors_run_out_for_a_while") {
    CHECK(fails_with(std::errc::too_many_files_open, {.short_of_descriptors = 500}, hear_of_a_listener));
    CHECK_FALSE(fails_with(std::errc::too_many_files_open, {}, hear_of_a_listener));
}

TEST_CASE("a_world_that_has_healed_is_not_short_of_descriptors_any_more") {
    sim::world world(1, {.short_of_descriptors = 999});
    in_world(world, [](sim::world& within) -> task<> {
        CHECK(error_of(tcp_listener::bind({"127.0.0.1", 7000})) == std::errc::too_many_files_open);
        within.heal();
        CHECK(tcp_listener::bind({"127.0.0.1", 7000}).has_value());
        co_return;
    });
}

TEST_CASE("a_clock_that_jumps_and_a_sleep_that_takes_too_long_take_virtual_time") {
    const auto time_of = [](const sim::faults& knobs) {
        sim::world world(1, knobs);
        return in_world(world, [](sim::world&) -> task<> { must(co_await chainring::sleep(1s)); }).time;
    };
    CHECK(time_of({.clock_jump = 1000}) > 1100ms);
    const duration overslept = time_of({.oversleeps = 1000});
    CHECK(overslept > 1s);
    CHECK(overslept < 1100ms);
    CHECK(time_of({}) < 1001ms);
}
