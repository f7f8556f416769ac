// A cancellation of each operation, at every moment and in every world: the operation ends, and what it did is what it says.
#include "small_worlds.hpp"

using namespace chainring;
using namespace chainring::test;

namespace {

const std::string cancelled_text = "a message that may be cancelled";

constexpr sim::faults cancel_faults{
    .later = 1, .hold_back = 1, .early_end = 1, .in_passing = 1, .elusive = 1};

template <class Over> task<> send_and_tell(typename Over::stream& to, std::string& claimed) {
    auto sending = to.send(small_text<Over>(cancelled_text));
    const auto outcome = co_await sending;
    if (outcome) CHECK(*outcome == cancelled_text.size());
    if (!outcome) CHECK(outcome.error() == errc::cancelled);
    claimed = cancelled_text.substr(0, sending.sent());
}

template <class Over> task<> cancel_a_send(sim::world& world) {
    auto pair = co_await small_pair<Over>();
    std::string claimed;
    world.set(small_faults_of<Over>(cancel_faults));
    co_await run_and_cancel(world, send_and_tell<Over>(pair.near, claimed));
    world.heal();
    must(co_await pair.near.close());
    const std::string heard = co_await receive_to_end(pair.far);
    CHECK(heard == claimed);
    must(co_await pair.far.close());
}

template <class Stream> task<> write_and_flush(Stream& to, bool& written) {
    const auto taken = co_await to.write(std::string_view(cancelled_text));
    written = taken.has_value();
    if (!taken) CHECK(taken.error() == errc::cancelled);
    if (!taken) co_return;
    const auto flushed = co_await to.flush();
    if (!flushed) CHECK(flushed.error() == errc::cancelled);
}

// What was written is sent, whoever no longer waits for it.
template <class Over> task<> cancel_a_flush(sim::world& world) {
    auto pair = co_await small_pair<Over>();
    bool written = false;
    world.set(cancel_faults);
    co_await run_and_cancel(world, write_and_flush(pair.near, written));
    world.heal();
    must(co_await pair.near.close());
    const std::string heard = co_await receive_to_end(pair.far);
    CHECK(heard == (written ? cancelled_text : ""));
    must(co_await pair.far.close());
}

template <class Stream> task<> receive_and_tell(Stream& from, std::string& heard) {
    const auto chunk = co_await from.receive();
    if (chunk) heard = chunk->text();
    if (!chunk) CHECK(chunk.error() == errc::cancelled);
}

template <class Stream> task<> receive_into_and_tell(Stream& from, std::string& heard) {
    std::string memory(100, '\0');
    const auto size = co_await from.receive_into(std::as_writable_bytes(std::span(memory)));
    if (size) heard = memory.substr(0, *size);
    if (!size) CHECK(size.error() == errc::cancelled);
}

template <class Stream> task<> say_and_close(Stream& to) {
    must(co_await to.send(std::string_view(cancelled_text)));
    must(co_await to.close());
}

// No byte is lost: what the cancelled one has not received the next one does.
template <class Over>
task<> cancel_a_receive(sim::world& world, task<> (*receive)(typename Over::stream&, std::string&)) {
    auto pair = co_await small_pair<Over>();
    std::string heard;
    world.set(cancel_faults);
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(say_and_close(pair.far));
        co_await run_and_cancel(world, receive(pair.near, heard));
        world.heal();
        heard += co_await receive_to_end(pair.near);
        must(co_await pair.near.close());
    });
    CHECK(heard == cancelled_text);
}

template <class Over>
task<> accept_and_tell(small_acceptor<Over>& from, std::vector<typename Over::stream>& all) {
    auto stream = co_await from.next();
    if (stream) all.push_back(std::move(*stream));
    if (!stream) CHECK(stream.error() == errc::cancelled);
}

template <class Over> task<> call_in(typename Over::stream& calling) {
    calling = must(co_await Over::stream::connect(small_address<Over>()));
    must(co_await calling.send(std::string_view(cancelled_text)));
}

// No connection is lost either.
template <class Over> task<> cancel_an_accept(sim::world& world) {
    auto listener = small_listener<Over>();
    std::optional<small_acceptor<Over>> from(listener);
    std::vector<typename Over::stream> accepted;
    typename Over::stream calling;
    world.set(cancel_faults);
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(call_in<Over>(calling));
        co_await run_and_cancel(world, accept_and_tell<Over>(*from, accepted));
        world.heal();
        if (accepted.empty()) co_await accept_and_tell<Over>(*from, accepted);
        co_await expect(accepted.front(), cancelled_text);
    });
    CHECK(accepted.size() == 1);
    from.reset();
    must(co_await listener.close());
}

template <class Over> task<> connect_and_tell(bool& connected) {
    auto stream = co_await Over::stream::connect(small_address<Over>());
    connected = stream.has_value();
    if (!stream) CHECK(stream.error() == errc::cancelled);
}

// Into a backlog that has room, or none: then the connect would wait for ever.
template <class Over> task<> cancel_a_connect(sim::world& world) {
    listen_options options;
    options.backlog = 0;
    auto listener = must(Over::listener::bind(small_address<Over>(), options));
    std::vector<typename Over::stream> crowd;
    const bool crowded = world.choose(2, "a full backlog") == 1;
    if (crowded) crowd.push_back(must(co_await Over::stream::connect(small_address<Over>())));
    bool connected = false;
    world.set(cancel_faults);
    co_await run_and_cancel(world, connect_and_tell<Over>(connected));
    world.heal();
    if (crowded) CHECK_FALSE(connected);
    must(co_await listener.close());
}

// Who polls for room hears of the peer's end too, which is no room.
template <class Over>
task<> cancel_a_send_beside_a_half_close(sim::world& world, sim::simulated_kernel& kernel) {
    auto pair = co_await small_pair<Over>();
    const std::string dots(1000, '.');
    while (kernel.send(pair.near.native_handle(), dots.data(), dots.size()) > 0) {
    }
    must(co_await pair.far.shutdown());
    std::string claimed;
    sim::faults faults = cancel_faults;
    faults.buffer = world.knobs().buffer;
    world.set(faults);
    co_await run_and_cancel(world, send_and_tell<Over>(pair.near, claimed));
    world.heal();
    CHECK(claimed.empty());
    const std::string rest = "the rest";
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(send_all(pair.near, rest));
        std::string heard;
        while (!heard.ends_with(rest)) {
            const buffer chunk = must(co_await pair.far.receive());
            if (chunk.empty()) FAIL("the stream has ended");
            heard += chunk.text();
        }
        CHECK(heard.find(cancelled_text) == std::string::npos);
    });
    must(co_await pair.near.close());
    must(co_await pair.far.close());
}

template <class Body> void cancel_everywhere(std::uint64_t at_least, Body body, unsigned faults = 3) {
    in_every_world(at_least, {}, {.faults = up_to(faults)}, body);
}

} // namespace

TEMPLATE_TEST_CASE(
    "a_send_that_is_cancelled_in_every_world_says_what_arrived", "", EACH_STREAM,
    chainring::test::without_copies, chainring::test::directly<chainring::test::over_tcp>,
    chainring::test::directly<chainring::test::over_seqpacket>) {
    cancel_everywhere(100, cancel_a_send<TestType>);
}

TEMPLATE_TEST_CASE("a_flush_that_is_cancelled_in_every_world_leaves_what_was_written", "", EACH_STREAM) {
    cancel_everywhere(100, cancel_a_flush<TestType>);
}

TEMPLATE_TEST_CASE(
    "a_receive_that_is_cancelled_in_every_world_loses_no_byte", "", EACH_STREAM,
    chainring::test::directly<chainring::test::over_tcp>) {
    cancel_everywhere(
        100,
        [](sim::world& world) {
            return cancel_a_receive<TestType>(world, receive_and_tell<typename TestType::stream>);
        },
        2);
}

TEMPLATE_TEST_CASE("a_receive_into_memory_that_is_cancelled_in_every_world_loses_no_byte", "", EACH_STREAM) {
    cancel_everywhere(
        100,
        [](sim::world& world) {
            return cancel_a_receive<TestType>(world, receive_into_and_tell<typename TestType::stream>);
        },
        2);
}

TEMPLATE_TEST_CASE(
    "an_accept_that_is_cancelled_in_every_world_loses_no_connection", "", EACH_STREAM, EACH_OTHER_ACCEPT) {
    cancel_everywhere(100, cancel_an_accept<TestType>, accept_faults<TestType>);
}

TEMPLATE_TEST_CASE("a_connect_that_is_cancelled_in_every_world_ends", "", EACH_STREAM) {
    cancel_everywhere(100, cancel_a_connect<TestType>);
}

TEMPLATE_TEST_CASE(
    "a_send_that_waits_for_room_beside_a_half_close_and_is_cancelled_harms_no_other", "", EACH_TRANSPORT) {
    in_every_world(20, {.buffer = 3000}, {.faults = up_to(2)}, cancel_a_send_beside_a_half_close<TestType>);
}
