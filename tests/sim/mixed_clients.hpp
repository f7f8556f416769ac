// The clients of the mixed world. Some are slow, some lose patience, some go away in the middle of a message.
#pragma once

#include "mixed_servers.hpp"

namespace chainring::test::mixed {

// How a client behaves, from its first message to its last.
struct temper {
    bool polite = false;    // waits for everything, and ends in order
    bool slow = false;      // reads now and then
    bool impatient = false; // cancels what takes too long
};

inline temper temper_of(town& all) {
    if (all.healed) return {.polite = true};
    temper drawn;
    drawn.polite = all.choose(4, "a polite client") == 3;
    drawn.slow = all.choose(3, "a slow client") == 2;
    if (!drawn.polite) drawn.impatient = all.choose(2, "an impatient client") == 1;
    return drawn;
}

// Ends early when it is cancelled.
inline task<> pause(duration time) {
    (void)co_await chainring::sleep(time);
}

inline duration patience_of(town& all, const temper& client) {
    return client.impatient ? all.up_to_milliseconds(5, "patience") : 1h;
}

// One message, whatever becomes of it.
template <class Stream> task<bool> say(town& all, Stream& to, one_way& up, std::string text) {
    one_way::message& message = up.begin(text);
    auto sending = to.send(std::move(text));
    const auto outcome = co_await sending;
    const bool goes_on = told(message, outcome, sending.sent());
    if (!outcome) CHECK(all.is_expected(outcome.error()));
    co_return goes_on && (outcome || sending.sent() == 0);
}

// The same from memory that must stay, in two pieces.
template <class Stream> task<bool> say_in_pieces(town& all, Stream& to, one_way& up, std::string text) {
    one_way::message& message = up.begin(text);
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    const byte_span pieces[] = {bytes.first(bytes.size() / 2), bytes.subspan(bytes.size() / 2)};
    auto sending = to.send(byte_spans(pieces));
    const auto outcome = co_await sending;
    const bool goes_on = told(message, outcome, sending.sent());
    if (!outcome) CHECK(all.is_expected(outcome.error()));
    co_return goes_on && (outcome || sending.sent() == 0);
}

template <class Stream> task<> say_beside(town& all, Stream& to, one_way& up, std::string text) {
    (void)co_await say(all, to, up, std::move(text));
}

// Several at once, some of which are not wanted any more.
template <class Stream>
task<> say_many(town& all, Stream& to, one_way& up, const temper& client, std::size_t size) {
    co_await scope([&](task_group& group) -> task<> {
        const std::uint32_t count = 2 + all.choose(5, "messages at once");
        for (std::uint32_t sent = 0; sent < count; ++sent)
            group.spawn(say_beside(
                all, to, up,
                all.new_text(1 + all.choose(static_cast<std::uint32_t>(size), "size of a message"))));
        if (!client.impatient) co_return;
        const std::uint32_t turns = all.choose(4, "turns before the cancellation");
        for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
        group.cancel();
    });
}

template <class Stream> task<bool> write_some(town& all, Stream& to, one_way& up) {
    const std::uint32_t count = 1 + all.choose(8, "writes");
    for (std::uint32_t written = 0; written < count; ++written) {
        std::string text = all.new_text(1 + all.choose(100, "size of a message"));
        const auto outcome = co_await to.write(std::string_view(text));
        if (!outcome) {
            CHECK(all.is_expected(outcome.error()));
            co_return false;
        }
        up.written(std::move(text));
    }
    co_return true;
}

// A sender whose frame dies where it stands.
template <class Stream> task<> be_destroyed(town& all, Stream& to, one_way& up, std::string text) {
    cancel_scope& mine = co_await this_scope{};
    task_group doomed(mine);
    doomed.spawn(say_beside(all, to, up, std::move(text)));
    const std::uint32_t turns = 1 + all.choose(3, "turns before the destruction");
    for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
}

template <class Stream> task<bool> speak_once(town& all, Stream& to, one_way& up, const temper& client) {
    const std::uint32_t most = all.one_in(25, "a long message") ? 300'000 : 1500;
    switch (all.choose(6, "what a client does")) {
    case 0: co_await say_many(all, to, up, client, most); co_return to.is_open();
    case 1: {
        const bool went_on = co_await write_some(all, to, up);
        co_return went_on;
    }
    case 2: {
        std::string text = all.new_text(1 + all.choose(most, "size of a message"));
        const duration patience = patience_of(all, client);
        const auto said = co_await timeout(patience, say_in_pieces(all, to, up, std::move(text)));
        co_return said;
    }
    case 3: co_await pause(all.up_to_milliseconds(5, "a pause")); co_return true;
    default: {
        std::string text = all.new_text(1 + all.choose(most, "size of a message"));
        const duration patience = patience_of(all, client);
        const auto said = co_await timeout(patience, say(all, to, up, std::move(text)));
        co_return said;
    }
    }
}

// The next bytes, in one of the ways there are. An empty string: the end.
template <class Stream> task<result<std::string>> listen_once(town& all, Stream& from, const temper& client) {
    const duration patience = patience_of(all, client);
    if (all.choose(3, "receive into memory") == 2) {
        std::string memory(1 + all.choose(2000, "size of the memory"), '\0');
        const auto bytes = std::as_writable_bytes(std::span(memory.data(), memory.size()));
        const auto size = co_await timeout(patience, from.receive_into(bytes));
        if (!size) co_return failure(size.error());
        memory.resize(*size);
        co_return memory;
    }
    const auto chunk = co_await timeout(patience, from.receive());
    if (!chunk) co_return failure(chunk.error());
    if (client.slow && all.one_in(8, "a client holds what it has received"))
        co_await pause(all.up_to_milliseconds(5, "how long"));
    co_return std::string(chunk->text());
}

// A client that cannot hear or end in order any more goes: its peer would wait for ever.
template <class Stream> void hang_up(Stream& stream, conversation& with) {
    with.up.cut_short();
    stream.abort();
}

template <class Stream> task<> listen(town& all, Stream& from, conversation& with, const temper& client) {
    for (;;) {
        if (client.slow && all.one_in(4, "a client does not read for a while"))
            co_await pause(all.up_to_milliseconds(10, "how long"));
        const auto heard = co_await listen_once(all, from, client);
        if (!heard && heard.error() == errc::timed_out) continue;
        if (!heard) {
            CHECK(all.is_expected(heard.error()));
            if (all.is_failure(heard.error())) hang_up(from, with);
            co_return;
        }
        if (heard->empty()) {
            with.down.ended();
            co_return;
        }
        with.down.received(*heard);
    }
}

// How a client that is not polite goes.
template <class Stream> task<> leave(town& all, Stream& stream, one_way& up, task_group& listeners) {
    switch (all.choose(5, "how a client leaves")) {
    case 0:
        stream.abort();
        up.cut_short();
        break;
    case 1: {
        const auto closed = co_await stream.close(all.up_to_milliseconds(20, "limit of a close"));
        if (closed) break;
        CHECK(all.is_expected(closed.error()));
        up.cut_short();
        break;
    }
    case 2: listeners.cancel(); break;
    case 3: { // half-closed, it listens for a while
        (void)co_await timeout(5ms, stream.shutdown());
        co_await pause(all.up_to_milliseconds(10, "how long"));
        stream.abort();
        up.cut_short();
        break;
    }
    default: { // it cancels its close
        const auto closed = co_await timeout(all.up_to_milliseconds(2, "patience"), stream.close(1h));
        if (closed) break;
        CHECK(all.is_expected(closed.error()));
        up.cut_short();
        break;
    }
    }
    if (stream.is_open()) up.cut_short();
    stream.abort(); // for who listens
}

template <class Stream> task<> converse(town& all, Stream stream, conversation& with, const temper& client) {
    co_await scope([&](task_group& listeners) -> task<> {
        listeners.spawn(listen(all, stream, with, client));
        const std::uint32_t rounds = all.choose(7, "rounds");
        bool goes_on = true;
        for (std::uint32_t round = 0; goes_on && round < rounds; ++round)
            goes_on = co_await speak_once(all, stream, with.up, client);
        if (goes_on && client.polite) {
            const auto ended = co_await stream.shutdown();
            if (!ended) CHECK(all.is_expected(ended.error()));
            if (!ended && all.operations_fail()) hang_up(stream, with);
            co_return; // whoever listens hears the rest
        }
        if (all.one_in(6, "a client is destroyed while it sends"))
            co_await be_destroyed(all, stream, with.up, all.new_text(20'000));
        co_await leave(all, stream, with.up, listeners);
    });
    if (client.polite && all.healed) {
        const auto closed = co_await stream.close();
        if (!closed) CHECK(all.is_expected(closed.error()));
    }
}

// Of a server that echoes, directly or behind a proxy.
template <class Stream> task<> echo_client(town& all, endpoint at) {
    const temper client = temper_of(all);
    const bool after_healing = all.healed;
    auto connected = co_await timeout(patience_of(all, client), Stream::connect(at));
    if (!connected) {
        CHECK(all.is_expected_of_connect(connected.error()));
        CHECK_FALSE(after_healing);
        co_return;
    }
    conversation& with = all.begin();
    const bool spoke = co_await say(all, *connected, with.up, all.number_of_last());
    if (!spoke) co_return;
    co_await converse(all, std::move(*connected), with, client);
    if (!after_healing) co_return;
    CHECK(with.up.complete());
    CHECK(with.down.complete());
}

inline task<> chat_client(town& all) {
    const temper client = temper_of(all);
    auto connected = co_await timeout(patience_of(all, client), tcp_stream::connect(chat_address()));
    if (!connected) {
        CHECK(all.is_expected_of_connect(connected.error()));
        co_return;
    }
    tcp_stream stream = std::move(*connected);
    conversation& with = all.begin();
    const bool introduced = co_await say(all, stream, with.up, all.number_of_last());
    if (!introduced) co_return;
    co_await scope([&](task_group& listeners) -> task<> {
        listeners.spawn(listen(all, stream, with, client));
        const std::uint32_t lines = all.choose(8, "lines");
        for (std::uint32_t line = 0; line < lines; ++line) {
            std::string text = all.new_text(all.choose(300, "size of a line"));
            std::replace(text.begin(), text.end(), '\n', ' ');
            text += '\n';
            const bool said = co_await say(all, stream, with.up, std::move(text));
            if (!said) break;
            if (all.choose(3, "a pause") == 2) co_await pause(all.up_to_milliseconds(3, "how long"));
        }
        if (!client.polite) co_return co_await leave(all, stream, with.up, listeners);
        const auto ended = co_await stream.shutdown();
        if (!ended) CHECK(all.is_expected(ended.error()));
        if (!ended && all.operations_fail()) hang_up(stream, with);
    });
}

// A record goes whole or not at all.
inline task<> say_record(town& all, seqpacket_stream& to, one_way& up, std::string text) {
    one_way::message& message = up.begin(record(text));
    auto sending = to.send(std::move(text));
    const auto outcome = co_await sending;
    message.settle(sending.sent() != 0 ? message.bytes().size() : 0);
    if (!outcome) CHECK(all.is_expected(outcome.error()));
}

inline task<> listen_to_records(town& all, seqpacket_stream& from, conversation& with, const temper& client) {
    for (;;) {
        if (client.slow && all.one_in(4, "a client does not read for a while"))
            co_await pause(all.up_to_milliseconds(10, "how long"));
        const duration patience = patience_of(all, client);
        const auto taken = co_await timeout(patience, from.receive());
        if (!taken && taken.error() == errc::timed_out) continue;
        if (!taken) {
            CHECK(all.is_expected(taken.error()));
            if (all.is_failure(taken.error())) hang_up(from, with);
            co_return;
        }
        if (taken->empty()) {
            with.down.ended();
            co_return;
        }
        with.down.received(record(taken->text()));
    }
}

inline task<> record_client(town& all) {
    const temper client = temper_of(all);
    const bool after_healing = all.healed;
    auto connected = co_await timeout(patience_of(all, client), seqpacket_stream::connect(records_address()));
    if (!connected) {
        CHECK(all.is_expected_of_connect(connected.error()));
        co_return;
    }
    seqpacket_stream stream = std::move(*connected);
    conversation& with = all.begin();
    co_await say_record(all, stream, with.up, all.number_of_last());
    co_await scope([&](task_group& listeners) -> task<> {
        listeners.spawn(listen_to_records(all, stream, with, client));
        const std::uint32_t rounds = all.choose(5, "rounds");
        for (std::uint32_t round = 0; round < rounds; ++round) {
            co_await scope([&](task_group& group) -> task<> {
                const std::uint32_t count = 1 + all.choose(10, "records at once");
                for (std::uint32_t sent = 0; sent < count; ++sent)
                    group.spawn(say_record(
                        all, stream, with.up, all.new_text(4 + all.choose(250, "size of a record"))));
                if (!client.impatient || all.choose(2, "cancel") == 0) co_return;
                const std::uint32_t turns = all.choose(4, "turns before the cancellation");
                for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
                group.cancel();
            });
        }
        if (!client.polite) co_return co_await leave(all, stream, with.up, listeners);
        const auto ended = co_await stream.shutdown();
        if (!ended) CHECK(all.is_expected(ended.error()));
        if (!ended && all.operations_fail()) hang_up(stream, with);
    });
    if (!after_healing) co_return;
    CHECK(with.up.complete());
    CHECK(with.down.complete());
}

} // namespace chainring::test::mixed
