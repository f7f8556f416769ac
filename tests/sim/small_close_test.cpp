// A close beside each operation that it can meet, in every order and with every outcome that the kernel may give them.
#include "small_worlds.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

const std::string greeting = "a greeting"; // of the peer
const std::string message_text = "a message of this side";

constexpr sim::faults close_faults{
    .later = 1, .hold_back = 1, .short_send = 0, .early_end = 1, .in_passing = 1, .elusive = 1};

template <class Over> using meets_close = task<> (*)(typename Over::stream&, std::string&);

// An operation of the stream that closes. What the peer may hear of it at least goes into `promised`.
template <class Over> task<> send_beside(typename Over::stream& stream, std::string& promised) {
    auto sending = stream.send(small_text<Over>(message_text));
    const auto outcome = co_await sending;
    if (outcome) CHECK(*outcome == message_text.size());
    if (!outcome) CHECK(outcome.error() == errc::closed);
    CHECK(sending.sent() == (outcome ? message_text.size() : 0));
    promised = message_text.substr(0, sending.sent());
}

template <class Stream> task<> receive_beside(Stream& stream, std::string&) {
    const auto chunk = co_await stream.receive();
    if (chunk) CHECK(chunk->text() == std::string_view(greeting));
    if (!chunk) CHECK(chunk.error() == errc::closed);
}

template <class Stream> task<> receive_into_beside(Stream& stream, std::string&) {
    std::string memory(100, '\0');
    const auto size = co_await stream.receive_into(std::as_writable_bytes(std::span(memory)));
    if (size) CHECK(memory.substr(0, *size) == greeting);
    if (!size) CHECK(size.error() == errc::closed);
}

template <class Stream> task<> flush_beside(Stream& stream, std::string& promised) {
    const auto written = co_await stream.write(std::string_view(message_text));
    if (!written) CHECK(written.error() == errc::closed);
    if (written) promised = message_text;
    const auto flushed = co_await stream.flush();
    if (!flushed) CHECK(flushed.error() == errc::closed);
}

template <class Stream> task<> close_after(Stream& stream, sim::world& world, bool& closed) {
    co_await some_turns(world, 2);
    const auto outcome = co_await stream.close();
    CHECK(outcome.has_value());
    closed = true;
}

// Greets, and reads up to the end.
template <class Stream>
task<> greet_and_read(Stream& stream, sim::world& world, bool greets, std::string& heard) {
    if (greets) {
        co_await some_turns(world, 1);
        const auto sent = co_await stream.send(std::string_view(greeting));
        if (!sent)
            CHECK((sent.error() == std::errc::broken_pipe || sent.error() == std::errc::connection_reset));
    }
    for (;;) {
        const auto chunk = co_await stream.receive();
        if (!chunk)
            CHECK(chunk.error() == std::errc::connection_reset); // it met a greeting that nobody had read
        if (!chunk || chunk->empty()) co_return;
        heard += chunk->text();
    }
}

template <class Over> task<> close_beside(sim::world& world, meets_close<Over> operation, bool greets) {
    auto pair = co_await small_pair<Over>();
    std::string promised;
    std::string heard;
    bool closed = false;
    world.set(small_faults_of<Over>(close_faults));
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(operation(pair.near, promised));
        group.spawn(close_after(pair.near, world, closed));
        group.spawn(greet_and_read(pair.far, world, greets, heard));
        co_return;
    });
    world.heal();
    CHECK(closed);
    CHECK(heard == promised);
    const auto closed_too = co_await pair.far.close();
    if (!greets) CHECK(closed_too.has_value());
}

template <class Over>
void close_everywhere(std::uint64_t at_least, meets_close<Over> operation, bool greets) {
    const unsigned faults = greets ? 1 : 2;
    in_every_world(at_least, {}, {.faults = up_to(faults)}, [&](sim::world& world) {
        return close_beside<Over>(world, operation, greets);
    });
}

template <class Over> task<> accept_beside(typename Over::listener& listener, unsigned& accepted) {
    small_acceptor<Over> from(listener);
    auto stream = co_await from.next();
    if (!stream) CHECK(stream.error() == errc::closed);
    if (!stream) co_return;
    ++accepted;
    must(co_await stream->close());
}

template <class Over> task<> connect_beside(unsigned& connected) {
    auto stream = co_await Over::stream::connect(small_address<Over>());
    if (!stream) {
        const auto error = stream.error();
        CHECK((error == std::errc::connection_refused || error == std::errc::connection_reset));
        co_return;
    }
    ++connected;
    const auto chunk = co_await stream->receive();
    if (chunk) CHECK(chunk->empty());
    if (!chunk) CHECK(chunk.error() == std::errc::connection_reset);
    must(co_await stream->close());
}

template <class Over> task<> close_listener_beside(sim::world& world) {
    auto listener = small_listener<Over>();
    unsigned accepted = 0;
    unsigned connected = 0;
    world.set(close_faults);
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(accept_beside<Over>(listener, accepted));
        group.spawn(connect_beside<Over>(connected));
        co_await some_turns(world, 3);
        must(co_await listener.close());
    });
    world.heal();
    CHECK(accepted <= connected);
}

} // namespace

TEMPLATE_TEST_CASE(
    "a_close_beside_a_send_in_every_world_loses_nothing_that_was_confirmed", "", EACH_STREAM,
    chainring::test::without_copies, chainring::test::directly<chainring::test::over_tcp>,
    chainring::test::directly<chainring::test::over_seqpacket>) {
    close_everywhere<TestType>(100, send_beside<TestType>, false);
}

TEMPLATE_TEST_CASE(
    "a_close_beside_a_receive_ends_it_in_every_world", "", EACH_STREAM,
    chainring::test::directly<chainring::test::over_tcp>) {
    const bool greets = GENERATE(false, true);
    close_everywhere<TestType>(100, receive_beside<typename TestType::stream>, greets);
}

TEMPLATE_TEST_CASE("a_close_beside_a_receive_into_memory_ends_it_in_every_world", "", EACH_STREAM) {
    const bool greets = GENERATE(false, true);
    close_everywhere<TestType>(100, receive_into_beside<typename TestType::stream>, greets);
}

TEMPLATE_TEST_CASE("a_close_beside_a_flush_sends_what_was_written_in_every_world", "", EACH_STREAM) {
    close_everywhere<TestType>(100, flush_beside<typename TestType::stream>, false);
}

TEMPLATE_TEST_CASE(
    "a_listener_that_closes_beside_accept_and_connect_ends_both_in_every_world", "", EACH_STREAM,
    EACH_OTHER_ACCEPT) {
    in_every_world(100, {}, {.faults = up_to(accept_faults<TestType>)}, close_listener_beside<TestType>);
}
