// The operations of sockets against their cancellation (race_case.hpp), whatever the sockets carry.
#pragma once

#include "race_case.hpp"

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace chainring::test {

// What the peer sends is received in this round or by the next receive.
template <bool into_memory> class receives final : public race_case {
    task<> prepare() override {
        if (!pair_) pair_.emplace(co_await pair_for_a_race());
    }
    task<std::error_code> operate() override {
        if constexpr (into_memory) {
            const auto received =
                co_await pair_->stream.receive_into(std::as_writable_bytes(std::span(memory_)));
            if (received) CHECK(*received == 1);
            co_return ended(received);
        } else {
            const auto received = co_await pair_->stream.receive();
            if (received) CHECK(received->text() == "x");
            co_return ended(received);
        }
    }
    void complete() override { CHECK(pair_->peer.send("x")); }
    task<> check(std::error_code error) override {
        if (error) co_await expect(pair_->stream, "x");
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    std::optional<stream_and_peer<over_any>> pair_;
    std::array<char, 4> memory_{};
};

enum class sends_by { send, write, send_without_a_copy };

// What arrives is what the results claim. What is sent is of each kind in turn.
template <sends_by way> class sends final : public race_case {
    task<> prepare() override {
        if (!pair_) {
            // Not with small buffers: loopback copies there.
            if constexpr (way == sends_by::send_without_a_copy) {
                pair_.emplace(co_await connected_to_plain<over_any>(65'536));
                must(pair_->stream.set_zero_copy(1));
            } else {
                pair_.emplace(co_await pair_for_a_race());
            }
            pair_->stream.set_send_marks({.high_bytes = 1, .low_bytes = 0});
            claimed_ = arrived_ = 0;
        }
        if (!over_any::carries_bytes()) fill(pair_->stream.native_handle());
    }
    task<std::error_code> operate() override {
        const std::string text(size, 'x');
        const byte_span pieces[] = {bytes_of(text).first(size / 2), bytes_of(text).subspan(size / 2)};
        const std::span<const std::byte> bytes = bytes_of(text);
        std::error_code error;
        switch (++kind_ % 5) {
        case 0: error = co_await operate_with(std::string_view(text)); break;
        case 1: error = co_await operate_with(byte_spans(pieces)); break;
        case 2: error = co_await operate_with(std::string(text)); break;
        case 3: error = co_await operate_with(std::vector<std::byte>(bytes.begin(), bytes.end())); break;
        default: error = co_await operate_with(shared_message(text)); break;
        }
        co_return error;
    }
    template <class Message> task<std::error_code> operate_with(Message message) {
        if constexpr (way == sends_by::write) {
            const result<void> written = co_await pair_->stream.write(std::move(message));
            if (written) claimed_ += size;
            co_return ended(written);
        } else {
            auto sending = pair_->stream.send(std::move(message));
            const result<std::size_t> sent = co_await sending;
            claimed_ += sending.sent();
            broken_ = sending.sent() != 0 && !sent;
            if (broken_) co_return make_error_code(errc::cancelled); // a part of it: the stream is broken
            co_return ended(sent);
        }
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code) override {
        if (broken_) { // and so closed, once all that was sent is on its way
            CHECK(over_any::carries_bytes());
            const std::string rest = co_await read_plain_to_end(pair_->peer);
            CHECK(arrived_ + rest.size() == claimed_);
            CHECK_FALSE(pair_->stream.is_open());
            pair_->peer.reset();
            pair_.reset();
            broken_ = false;
            co_return;
        }
        co_await until([this] {
            arrived_ += read_each_x(pair_->peer);
            return arrived_ >= claimed_;
        });
        CHECK(arrived_ == claimed_);
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    const std::size_t size =
        over_any::carries_bytes() ? 20'000 : 1000; // more than the socket takes, or a message
    std::optional<stream_and_peer<over_any>> pair_;
    std::size_t claimed_ = 0;
    std::size_t arrived_ = 0;
    unsigned kind_ = 0;
    bool broken_ = false;
};

enum class accepts_by { accept, stream, direct_descriptor };

template <accepts_by way> class accepts final : public race_case {
    task<> prepare() override {
        if (!listener_.is_open()) {
            listen_options options;
            options.direct_descriptors = way == accepts_by::direct_descriptor;
            listener_ = must(over_any::listener::bind(over_any::somewhere(), options));
            if constexpr (way == accepts_by::stream) ahead_.emplace(listener_);
        }
        co_return;
    }
    auto next() {
        if constexpr (way == accepts_by::stream)
            return ahead_->next();
        else
            return listener_.accept();
    }
    task<std::error_code> operate() override {
        const auto accepted = co_await next();
        co_return ended(accepted);
    }
    void complete() override {
        peer_ = plain_socket::connected_to(must(listener_.local()), 0, over_any::stream::kind.type);
    }
    task<> check(std::error_code error) override {
        if (error) must(co_await next()); // it was not lost
        peer_.reset();
    }
    task<> finish() override {
        ahead_.reset();
        must(co_await listener_.close());
        listener_ = {};
    }
    over_any::listener listener_;
    std::optional<connection_stream<over_any::stream>> ahead_;
    plain_socket peer_;
};

class connects final : public race_case {
    task<std::error_code> operate() override {
        const auto connected = co_await over_any::stream::connect(at_.local());
        co_return ended(connected);
    }
    task<> check(std::error_code error) override {
        const int accepted = reset_all_waiting(at_);
        CHECK(accepted <= 1);
        if (!error) CHECK(accepted == 1);
        co_return;
    }
    plain_socket at_ =
        non_blocking(plain_socket::listening(over_any::somewhere(), 100, over_any::stream::kind.type));
};

class closes final : public race_case {
    task<> prepare() override {
        pair_.emplace(co_await pair_for_a_race());
        if (!over_any::carries_bytes()) fill(pair_->stream.native_handle());
        must(co_await pair_->stream.write(std::string(size, 'x')));
        arrived_ = 0;
    }
    task<std::error_code> operate() override {
        const result<void> closed = co_await pair_->stream.close(std::chrono::hours(1));
        co_return ended(closed);
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code error) override {
        if (pair_->stream.is_open()) { // cancelled before it began
            CHECK(error == errc::cancelled);
            pair_->stream.abort();
        }
        const std::string rest = co_await read_plain_to_end(pair_->peer);
        arrived_ += size_of_x(rest);
        if (!error) CHECK(arrived_ == size);
        pair_->peer.reset();
        pair_.reset();
    }
    const std::size_t size = over_any::carries_bytes() ? 10'000 : 1000;
    std::optional<stream_and_peer<over_any>> pair_;
    std::size_t arrived_ = 0;
};

// The one whose connection nobody took sees its end.
class closes_a_listener final : public race_case {
    task<> prepare() override {
        listener_ = must(over_any::listener::bind(over_any::somewhere()));
        peer_ = plain_socket::connected_to(must(listener_.local()), 0, over_any::stream::kind.type);
        co_return;
    }
    task<std::error_code> operate() override {
        const result<void> closed = co_await listener_.close();
        co_return ended(closed);
    }
    task<> check(std::error_code error) override {
        if (listener_.is_open()) { // cancelled before it began
            CHECK(error == errc::cancelled);
            must(co_await listener_.close());
        }
        const std::string nothing = co_await read_plain_to_end(peer_);
        CHECK(nothing.empty());
        peer_.reset();
    }
    over_any::listener listener_;
    plain_socket peer_;
};

using accepts_one = accepts<accepts_by::accept>;
using accepts_of_a_stream = accepts<accepts_by::stream>;
using receives_a_lease = receives<false>;
using receives_into_memory = receives<true>;
using sends_a_message = sends<sends_by::send>;
using writes_a_message = sends<sends_by::write>;

} // namespace chainring::test
