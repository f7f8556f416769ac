// The reads of a buffered_reader, and framed, against their cancellation (race_case.hpp).
#pragma once

#include "race_case.hpp"

#include <chainring/net/framed.hpp>

#include <optional>
#include <string>

namespace chainring::test {

// Of a stream, and of the messages on it.
struct framed_and_peer {
    explicit framed_and_peer(stream_and_peer<over_any>&& connected)
        : pair(std::move(connected)) {}

    stream_and_peer<over_any> pair;
    delimited lines{"\n", 100'000};
    framed<over_any::stream, delimited> link{pair.stream, lines};
};

enum class reads_by { message, some, peek, skip, framed };

// The peer sends a line, of which a part may have arrived before. What is not read is there for the next read.
template <reads_by way> class reads_a_line final : public race_case {
    task<> prepare() override {
        if (!over_) over_.emplace(co_await pair_for_a_race());
        read_ = 0;
        if (++round_ % 2 == 0) CHECK(over_->pair.peer.send("x"));
        rest_ = round_ % 2 == 0 ? "yz\n" : "xyz\n";
    }
    task<std::error_code> operate() override {
        auto& reader = over_->link.reader();
        if constexpr (way == reads_by::skip) {
            const auto skipped = co_await reader.skip(4);
            read_ = skipped.value_or(0);
            co_return ended(skipped);
        } else if constexpr (way == reads_by::framed) {
            const auto received = co_await over_->link.receive();
            if (received) CHECK(received->value().text() == "xyz");
            read_ = received ? 4 : 0;
            co_return ended(received);
        } else if constexpr (way == reads_by::peek) {
            const auto peeked = co_await reader.peek(4);
            if (peeked) CHECK(peeked->text() == "xyz\n");
            co_return ended(peeked);
        } else if constexpr (way == reads_by::some) {
            const auto some = co_await reader.read_some();
            read_ = some ? some->size() : 0;
            co_return ended(some);
        } else {
            const auto line = co_await reader.read_message(over_->lines);
            if (line) CHECK(line->text() == "xyz");
            read_ = line ? 4 : 0;
            co_return ended(line);
        }
    }
    void complete() override { CHECK(over_->pair.peer.send(rest_)); }
    task<> check(std::error_code) override {
        const auto left = co_await over_->link.reader().read_exactly(4 - read_);
        REQUIRE(left.has_value());
        CHECK(left->text() == std::string_view("xyz\n").substr(read_));
    }
    task<> finish() override {
        over_.reset();
        co_return;
    }
    std::optional<framed_and_peer> over_;
    unsigned round_ = 0;
    std::size_t read_ = 0; // bytes of the line
    std::string_view rest_;
};

// More than the socket takes. Whole messages arrive, or the stream is broken.
template <bool buffered> class sends_a_line final : public race_case {
    task<> prepare() override {
        if (over_) co_return;
        over_.emplace(co_await pair_for_a_race());
        over_->pair.stream.set_send_marks({.high_bytes = 1, .low_bytes = 0});
        sent_ = arrived_ = 0;
    }
    task<std::error_code> operate() override {
        if constexpr (buffered) {
            const result<void> written = co_await over_->link.write(text_);
            if (written) ++sent_;
            co_return ended(written);
        } else {
            const result<void> sent = co_await over_->link.send(text_);
            if (sent) ++sent_;
            if (ended(sent) == errc::broken)
                co_return make_error_code(errc::cancelled); // in the middle of it
            co_return ended(sent);
        }
    }
    void complete() override { arrived_ += read_bytes(); }
    task<> check(std::error_code error) override {
        if (error && !buffered) { // a part of it may be on the wire, and the stream broken
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(
                    [](auto& stream) -> task<> { (void)co_await stream.close(); }(over_->pair.stream));
                const std::string rest = co_await read_plain_to_end(over_->pair.peer);
                arrived_ += rest.size();
            });
            CHECK(arrived_ / on_the_wire == sent_);
            over_->pair.peer.reset();
            over_.reset();
            co_return;
        }
        co_await until([this] {
            arrived_ += read_bytes();
            return arrived_ >= sent_ * on_the_wire;
        });
        CHECK(arrived_ == sent_ * on_the_wire);
    }
    task<> finish() override {
        over_.reset();
        co_return;
    }
    std::size_t read_bytes() {
        std::size_t size = 0;
        for (std::string text; !(text = over_->pair.peer.read_now()).empty();) size += text.size();
        return size;
    }
    static constexpr std::size_t on_the_wire = 12'001;
    const std::string text_ = std::string(on_the_wire - 1, 'x');
    std::optional<framed_and_peer> over_;
    std::size_t sent_ = 0; // messages
    std::size_t arrived_ = 0;
};

template <reads_by way> cases reading_lines() {
    return over_each<reads_a_line<way>, over_tcp, over_unix>();
}
template <bool buffered> cases sending_lines() {
    return over_each<sends_a_line<buffered>, over_tcp, over_unix>();
}

} // namespace chainring::test
