// The servers of the mixed world: echo, proxy, chat and records. What they do is what the samples do; besides, some
// of them lose patience, or end a connection without a word.
#pragma once

#include "mixed_conversation.hpp"

#include <list>

namespace chainring::test::mixed {

using namespace std::chrono_literals;

inline endpoint echo_address() {
    return {"127.0.0.1", 7000};
}
inline endpoint proxy_address() {
    return {"127.0.0.1", 7001};
}
inline endpoint chat_address() {
    return {"127.0.0.1", 7002};
}
inline endpoint unix_echo_address() {
    return endpoint::from_abstract_name("echo").value();
}
inline endpoint records_address() {
    return endpoint::from_abstract_name("records").value();
}

// How long a session waits for its client.
inline duration patience_of(town& all) {
    if (all.healed || all.choose(4, "an impatient server") != 3) return 1h;
    return all.up_to_milliseconds(20, "patience");
}

// Accepts until the listener closes, in one of the two ways.
template <class Stream, class Session>
task<> accept_all(town& all, listener<Stream>& from, task_group& sessions, Session session) {
    if (all.choose(2, "accept ahead") == 0) {
        for (;;) {
            auto accepted = co_await from.accept();
            if (!accepted) co_return;
            sessions.spawn(session(std::move(*accepted)));
        }
    }
    auto connections = from.connections();
    for (;;) {
        auto accepted = co_await connections.next();
        if (!accepted) co_return;
        sessions.spawn(session(std::move(*accepted)));
    }
}

// Whatever the client still wants.
template <class Stream> task<> end_session(town& all, Stream& peer, conversation* with) {
    const std::uint32_t manner = all.healed ? 0 : all.choose(6, "how a server ends");
    if (manner == 5) peer.abort();
    // 4: the connection ends by itself.
    if (manner >= 4) {
        if ((manner == 5 || all.operations_fail()) && with != nullptr) with->down.cut_short();
        co_return;
    }
    const auto closed = co_await peer.close();
    if (closed) co_return;
    CHECK(all.is_expected(closed.error()));
    if (with != nullptr) with->down.cut_short();
}

template <class Stream> task<> echo_session(town& all, Stream peer) {
    const duration patience = patience_of(all);
    conversation* with = nullptr;
    std::string first;
    for (;;) {
        auto chunk = co_await timeout(patience, peer.receive());
        if (!chunk) {
            CHECK(all.is_expected(chunk.error()));
            break;
        }
        if (chunk->empty()) {
            if (with != nullptr) with->up.ended();
            break;
        }
        if (with == nullptr) {
            first += chunk->text();
            if (first.size() < town::size_of_number) continue;
            with = &all.find(first);
            with->up.received(first);
        } else {
            with->up.received(chunk->text());
        }
        one_way::message& echo = with->down.begin(first.empty() ? std::string(chunk->text()) : first);
        bool goes_on = false;
        if (first.empty()) {
            auto sending = peer.send(std::move(*chunk));
            const auto outcome = co_await sending;
            goes_on = told(echo, outcome, sending.sent());
        } else {
            auto sending = peer.send(std::exchange(first, {}));
            const auto outcome = co_await sending;
            goes_on = told(echo, outcome, sending.sent());
        }
        if (!goes_on || (!all.healed && all.one_in(100, "the server has had enough"))) break;
    }
    co_await end_session(all, peer, with);
}

// One direction of a proxy, to the end of the stream, which is passed on.
inline task<> relay(tcp_stream& from, tcp_stream& to) {
    for (;;) {
        auto chunk = co_await from.receive();
        if (!chunk) break;
        if (chunk->empty()) {
            const auto ended = co_await to.shutdown();
            if (ended) co_return; // the other direction may go on
            break;
        }
        const auto written = co_await to.write(std::move(*chunk));
        if (!written) break;
    }
    from.abort();
    to.abort();
}

inline task<> proxy_session(town& all, tcp_stream client) {
    auto server = co_await tcp_stream::connect(echo_address());
    if (!server) {
        CHECK(all.is_expected_of_connect(server.error()));
        client.abort();
        co_return;
    }
    // Low marks, so that a side that does not read stops the other one.
    const std::uint32_t high = 1 + all.choose(8192, "high-water mark");
    const send_marks marks{.high_bytes = high, .low_bytes = high / 2};
    client.set_send_marks(marks);
    server->set_send_marks(marks);
    co_await scope([&](task_group& directions) -> task<> {
        directions.spawn(relay(client, *server));
        directions.spawn(relay(*server, client));
        co_return;
    });
}

// Every line goes to every member, as one shared message in as many queues.
class chat_room {
  public:
    explicit chat_room(town& all)
        : all_(all) {}

    task<> serve(tcp_stream peer) {
        const std::uint32_t high = 1 + all_.choose(16'384, "unsent bytes of a member");
        peer.set_send_marks({.high_bytes = high, .low_bytes = high / 2});
        const auto seat = members_.insert(members_.end(), {.peer = &peer, .with = nullptr});
        std::string line;
        for (;;) {
            auto chunk = co_await until_shutdown(peer.receive());
            if (!chunk) {
                CHECK(all_.is_expected(chunk.error()));
                break;
            }
            if (chunk->empty()) {
                if (seat->with != nullptr) seat->with->up.ended();
                break;
            }
            take(*seat, line, chunk->text());
        }
        // It closes by itself, after what its member has still to hear; nobody is told whether that failed.
        if (all_.operations_fail() && seat->with != nullptr) seat->with->down.cut_short();
        members_.erase(seat);
    }

  private:
    struct member {
        tcp_stream* peer;
        conversation* with;
    };

    void take(member& speaker, std::string& line, std::string_view text) {
        if (speaker.with != nullptr) speaker.with->up.received(text);
        const std::size_t already = line.size();
        for (const char each : text) {
            line += each;
            if (speaker.with != nullptr && each == '\n') say(std::exchange(line, {}));
            if (speaker.with != nullptr || line.size() != town::size_of_number) continue;
            speaker.with = &all_.find(line);
            speaker.with->up.received(line);
            text.remove_prefix(town::size_of_number - already);
            speaker.with->up.received(text);
            line.clear();
        }
    }
    void say(const std::string& line) {
        const shared_message shared(line);
        for (member& each : members_) {
            if (each.with == nullptr) continue; // it has not said who it is
            const auto written = each.peer->try_write(shared);
            if (written)
                each.with->down.written(line);
            else if (written.error() == errc::queue_full)
                each.peer->abort(); // its own receive ends, and takes it out of the room
            else
                CHECK(all_.is_expected(written.error()));
        }
    }

    town& all_;
    std::list<member> members_;
};

// Sends each record back, the next one without waiting for the last one.
inline task<> record_session(town& all, seqpacket_stream peer) {
    const duration patience = patience_of(all);
    conversation* with = nullptr;
    for (;;) {
        auto taken = co_await timeout(patience, peer.receive());
        if (!taken) {
            CHECK(all.is_expected(taken.error()));
            break;
        }
        if (taken->empty()) {
            if (with != nullptr) with->up.ended();
            break;
        }
        if (with == nullptr) with = &all.find(taken->text());
        std::string text = record(taken->text());
        with->up.received(text);
        if (all.choose(2, "send or write the answer") == 0) {
            one_way::message& echo = with->down.begin(std::move(text));
            auto sending = peer.send(std::move(*taken));
            const auto outcome = co_await sending;
            echo.settle(sending.sent() != 0 ? echo.bytes().size() : 0);
            if (!outcome) break;
        } else {
            const auto written = co_await peer.write(std::move(*taken));
            if (!written) {
                CHECK(all.is_expected(written.error()));
                break;
            }
            with->down.written(std::move(text));
        }
    }
    co_await end_session(all, peer, with);
}

} // namespace chainring::test::mixed
