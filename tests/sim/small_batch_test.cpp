// A batch of messages that fails at every index with every errno: each sender hears what became of its own message, and
// what arrives is what they heard.
#include "small_worlds.hpp"

#include <set>

using namespace chainring;
using namespace chainring::test;

namespace {

constexpr std::size_t batch_size = 4;

struct batch_member {
    std::string bytes;
    std::size_t sent = 0;
    std::error_code error;
    bool settled = false;
};
using batch = std::array<batch_member, batch_size>;

template <class Stream> task<> send_member(Stream& to, batch_member& member) {
    auto sending = to.send(std::string_view(member.bytes));
    const auto outcome = co_await sending;
    CHECK_FALSE(member.settled);
    member.settled = true;
    member.sent = sending.sent();
    member.error = error_of(outcome);
    CHECK(member.sent <= member.bytes.size());
    if (outcome) CHECK(*outcome == member.bytes.size());
}

bool is_short_of_memory(std::error_code error) {
    return error == std::errc::no_buffer_space || error == std::errc::not_enough_memory;
}

// All of them at once, so that they are one batch. Nothing else is under way, so nothing else can fail.
template <class Stream> task<> send_batch(Stream& to, batch& members) {
    co_await scope([&](task_group& group) -> task<> {
        for (batch_member& each : members) group.spawn(send_member(to, each));
        co_return;
    });
    for (const batch_member& each : members) CHECK(each.settled);
}

// On a socket of connections those before the failed one were sent, and those behind it never started.
void check_members_of_connection(const batch& members, std::set<std::string>& failures) {
    std::size_t failed = 0;
    while (failed < batch_size && !members[failed].error) ++failed;
    if (failed == batch_size) return;
    CHECK(is_short_of_memory(members[failed].error));
    CHECK(members[failed].sent == 0);
    for (std::size_t behind = failed + 1; behind < batch_size; ++behind) {
        CHECK(members[behind].error == errc::never_started);
        CHECK(members[behind].sent == 0);
    }
    failures.insert(std::to_string(failed) + ' ' + members[failed].error.message());
}

std::string claimed_by(const batch& members) {
    std::string all;
    for (const batch_member& each : members) all.append(each.bytes, 0, each.sent);
    return all;
}

batch members_of_size(std::size_t size) {
    batch members;
    char letter = 'a';
    for (batch_member& each : members) each.bytes = std::string(size, letter++);
    return members;
}

constexpr sim::faults batch_faults{.later = 1, .hold_back = 1, .failed_operation = 1};

template <class Over>
task<> failing_batch(sim::world& world, std::size_t size, send_path path, std::set<std::string>& failures) {
    auto pair = co_await small_pair<Over>();
    if (path != send_path::gathered) must(pair.near.set_send_path(path));
    batch members = members_of_size(size);
    world.set(batch_faults);
    co_await send_batch(pair.near, members);
    world.heal();
    check_members_of_connection(members, failures);
    (void)co_await pair.near.close();
    const std::string heard = co_await receive_to_end(pair.far);
    CHECK(heard.size() == claimed_by(members).size());
    CHECK((heard == claimed_by(members)));
    must(co_await pair.far.close());
}

// Every index with ENOBUFS and with ENOMEM.
template <class Over>
void fail_everywhere(std::uint64_t at_least, std::size_t indexes, std::size_t size, send_path path) {
    std::set<std::string> failures;
    in_every_world(at_least, {.buffer = 1'000'000}, {.faults = 2}, [&](sim::world& world) {
        return failing_batch<Over>(world, size, path, failures);
    });
    if (!sim::wanted_replay()) CHECK(failures.size() == indexes * 2);
}

// Each record that is too long for its socket fails alone.
task<> batch_of_records_of_which_some_are_too_long(sim::world& world) {
    auto pair = co_await small_pair<over_seqpacket>();
    must(pair.near.set_option(SOL_SOCKET, SO_SNDBUF, 2304));
    batch members = members_of_size(50);
    for (batch_member& each : members)
        if (world.choose(2, "too long") == 1) each.bytes.resize(10'000, 'x');
    world.set({.later = 1, .hold_back = 1});
    co_await send_batch(pair.near, members);
    world.heal();
    for (const batch_member& each : members) {
        const bool fits = each.bytes.size() == 50;
        CHECK(each.sent == (fits ? 50 : 0));
        CHECK((fits ? !each.error : each.error == std::errc::message_size));
    }
    must(co_await pair.near.close());
    const std::string heard = co_await receive_to_end(pair.far);
    CHECK(heard == claimed_by(members));
    must(co_await pair.far.close());
}

// An error of a datagram is that of one message.
task<> failing_datagrams(sim::world& world, endpoint from, endpoint to, std::set<std::string>& failures) {
    auto far = must(chainring::udp_socket::connect(from, to));
    auto near = must(chainring::udp_socket::connect(to, from));
    batch members = members_of_size(20);
    world.set(batch_faults);
    co_await send_batch(near, members);
    world.heal();
    std::string pattern;
    for (const batch_member& each : members) {
        if (each.error) CHECK(is_short_of_memory(each.error));
        CHECK(each.sent == (each.error ? 0 : each.bytes.size()));
        pattern += !each.error ? '.' : each.error == std::errc::not_enough_memory ? 'm' : 'b';
        if (each.error) continue;
        const datagram got = must(co_await far.receive());
        CHECK(got.text() == each.bytes);
    }
    failures.insert(pattern);
    must(co_await near.close());
    must(co_await far.close());
}

// The peer resets the connection at any moment.
template <class Over> task<> batch_into_a_reset(sim::world& world) {
    auto pair = co_await small_pair<Over>();
    batch members = members_of_size(2000);
    world.set({.later = 1, .hold_back = 1});
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(send_batch(pair.near, members));
        co_await some_turns(world, 2);
        pair.far.abort();
    });
    world.heal();
    bool over = false;
    for (const batch_member& each : members) {
        if (over) CHECK(each.error == errc::never_started);
        if (!over && each.error) {
            const auto error = each.error;
            CHECK(
                (error == std::errc::broken_pipe || error == std::errc::connection_reset ||
                 error == errc::broken));
            CHECK(each.sent < each.bytes.size());
        }
        if (!each.error) CHECK(each.sent == each.bytes.size());
        over = over || each.error;
    }
    (void)co_await pair.near.close();
}

} // namespace

TEST_CASE("wherever_a_chain_of_records_fails_each_sender_hears_what_became_of_its_own") {
    fail_everywhere<over_seqpacket>(100, batch_size, 50, send_path::gathered);
}

TEMPLATE_TEST_CASE(
    "wherever_a_chain_of_messages_fails_each_sender_hears_what_became_of_its_own", "", EACH_TRANSPORT) {
    fail_everywhere<TestType>(100, batch_size, 50, send_path::chained);
}

TEMPLATE_TEST_CASE(
    "a_gathered_send_that_fails_costs_its_first_message_and_those_behind_it", "", EACH_TRANSPORT) {
    fail_everywhere<TestType>(20, 1, 50, send_path::gathered);
}

TEST_CASE("a_record_that_is_too_long_fails_alone_wherever_it_stands_in_every_world") {
    in_every_world(16, {}, {.faults = 2}, batch_of_records_of_which_some_are_too_long);
}

TEST_CASE("a_batch_into_a_reset_says_which_messages_it_cost_in_every_world") {
    in_every_world(20, {.buffer = 2500}, {.faults = up_to(2)}, batch_into_a_reset<over_tcp>);
    in_every_world(20, {.buffer = 2500}, {.faults = up_to(2)}, batch_into_a_reset<over_unix>);
}

TEST_CASE("each_datagram_fails_by_itself_in_every_world") {
    std::set<std::string> failures;
    const endpoint first("127.0.0.1", 7001);
    const endpoint second("127.0.0.1", 7002);
    in_every_world(100, {}, {.faults = 2}, [&](sim::world& world) {
        return failing_datagrams(world, first, second, failures);
    });
    // None; one of four with either errno; two of them with any two.
    CHECK((failures.size() == 1 + 4 * 2 + 6 * 4 || !optimized));
}
