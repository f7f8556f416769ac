// The operations of datagram sockets against their cancellation (race_case.hpp).
#pragma once

#include "race_case.hpp"

#include <array>
#include <optional>
#include <string>

namespace chainring::test {

template <class Socket> endpoint somewhere_for() {
    return Socket::kind.internet ? over_udp::somewhere() : over_unix_datagrams::somewhere();
}

// A socket of this executor, and a plain one at the other end; each is the other's peer.
template <class Socket> struct socket_and_peer {
    plain_socket peer = plain_socket::bound(somewhere_for<Socket>(), SOCK_DGRAM);
    Socket socket;

    socket_and_peer()
        : socket(must(Socket::connect(peer.local(), somewhere_for<Socket>()))) {
        calls::must(calls::connect(peer.get(), must(socket.local())), "connect");
    }
    // Where who sends can be made to wait.
    void fill_the_way() const {
        if constexpr (!Socket::kind.internet) fill(socket.native_handle());
    }
};

enum class receives_into { block, memory, msghdr };

// What the peer sends is received in this round or by the next receive.
template <class Socket, receives_into where> class receives_datagrams final : public race_case {
    task<> prepare() override {
        if (!pair_) pair_.emplace();
        co_return;
    }
    task<std::error_code> operate() override {
        if constexpr (where == receives_into::memory) {
            const auto received = co_await pair_->socket.receive_into(memory_);
            if (received) CHECK(received->payload.size() == 1);
            co_return ended(received);
        } else if constexpr (where == receives_into::msghdr) {
            const auto received = co_await pair_->socket.receive_into(header_);
            if (received) CHECK(*received == 1);
            co_return ended(received);
        } else {
            const auto received = co_await pair_->socket.receive();
            if (received) CHECK(received->text() == "x");
            co_return ended(received);
        }
    }
    void complete() override { CHECK(pair_->peer.send("x")); }
    task<> check(std::error_code error) override {
        if (!error) co_return;
        const datagram kept = must(co_await pair_->socket.receive());
        CHECK(kept.text() == "x");
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    std::optional<socket_and_peer<Socket>> pair_;
    std::array<std::byte, 4> memory_{};
    iovec piece_{memory_.data(), memory_.size()};
    msghdr header_{nullptr, 0, &piece_, 1, nullptr, 0, 0};
};

enum class datagrams_by { send, send_to, write, write_to };

// What arrives is what the results claim. What is sent is of each kind in turn, also with control messages.
template <class Socket, datagrams_by way> class sends_datagrams final : public race_case {
    task<> prepare() override {
        if (!pair_) {
            pair_.emplace();
            pair_->socket.set_send_marks({.high_bytes = 1, .low_bytes = 0});
            claimed_ = arrived_ = 0;
        }
        pair_->fill_the_way();
        co_return;
    }
    datagram_payload payload() {
        switch (++kind_ % 4) {
        case 0: return text_;
        case 1: return byte_spans(pieces_);
        case 2: return std::string(text_);
        default: return shared_message(text_);
        }
    }
    auto operation() {
        datagram_send_options options;
        if (kind_ % 2 == 0 && Socket::kind.internet) options.traffic_class = std::uint8_t{8};
        const endpoint to = pair_->peer.local();
        if constexpr (way == datagrams_by::send)
            return pair_->socket.send(payload(), options);
        else if constexpr (way == datagrams_by::send_to)
            return pair_->socket.send_to(to, payload(), options);
        else if constexpr (way == datagrams_by::write)
            return pair_->socket.write(payload(), options);
        else
            return pair_->socket.write_to(to, payload(), options);
    }
    task<std::error_code> operate() override {
        auto sending = operation();
        const auto sent = co_await sending;
        if (sent) claimed_ += text_.size();
        co_return ended(sent);
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code) override {
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
    const std::string text_ = std::string(1000, 'x');
    const byte_span pieces_[2] = {bytes_of(text_).first(500), bytes_of(text_).subspan(500)};
    std::optional<socket_and_peer<Socket>> pair_;
    std::size_t claimed_ = 0;
    std::size_t arrived_ = 0;
    unsigned kind_ = 0;
};

// What was written is sent, whoever waits for it and gives up.
template <class Socket> class flushes_datagrams final : public race_case {
    task<> prepare() override {
        if (!pair_) pair_.emplace();
        pair_->fill_the_way();
        must(co_await pair_->socket.write(std::string(size, 'x')));
        arrived_ = 0;
    }
    task<std::error_code> operate() override {
        const result<void> flushed = co_await pair_->socket.flush();
        if (flushed) CHECK(pair_->socket.unsent() == 0);
        co_return ended(flushed);
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code) override {
        co_await until([this] {
            arrived_ += read_each_x(pair_->peer);
            return arrived_ >= size;
        });
        CHECK(arrived_ == size);
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    static constexpr std::size_t size = 1000;
    std::optional<socket_and_peer<Socket>> pair_;
    std::size_t arrived_ = 0;
};

template <class Socket> class closes_datagrams final : public race_case {
    task<> prepare() override {
        pair_.emplace();
        pair_->fill_the_way();
        must(co_await pair_->socket.write(std::string(size, 'x')));
        arrived_ = 0;
    }
    task<std::error_code> operate() override {
        const result<void> closed = co_await pair_->socket.close(std::chrono::hours(1));
        co_return ended(closed);
    }
    void complete() override { arrived_ += read_each_x(pair_->peer); }
    task<> check(std::error_code error) override {
        if (pair_->socket.is_open()) { // cancelled before it began
            CHECK(error == errc::cancelled);
            pair_->socket.abort();
        }
        arrived_ += read_each_x(pair_->peer);
        if (!error) CHECK(arrived_ == size);
        pair_.reset();
        co_return;
    }
    static constexpr std::size_t size = 1000;
    std::optional<socket_and_peer<Socket>> pair_;
    std::size_t arrived_ = 0;
};

// What was written is sent or handed over, what the peer sends is received by somebody, and the descriptor goes on.
template <class Socket> class releases_datagrams final : public race_case {
    task<> prepare() override {
        pair_.emplace();
        CHECK(pair_->peer.send("y"));
        const datagram first = must(co_await pair_->socket.receive()); // the receive stays armed
        CHECK(first.text() == "y");
        pair_->fill_the_way();
        must(co_await pair_->socket.write(std::string(size, 'x')));
        released_ = failure(errc::closed);
        arrived_ = sent_ = 0;
    }
    task<std::error_code> operate() override {
        released_ = co_await pair_->socket.release(std::chrono::hours(1));
        co_return ended(released_);
    }
    void complete() override {
        arrived_ += read_each_x(pair_->peer);
        sent_ += pair_->peer.send("yyy") ? 1 : 0;
    }
    task<> check(std::error_code error) override {
        if (error) { // cancelled before it began
            CHECK(error == errc::cancelled);
            CHECK(pair_->socket.is_open());
            pair_->socket.abort();
        } else {
            for (const unsent_datagram& each : released_->unsent) arrived_ += each.payload.size();
            if (released_->unsent.empty()) CHECK_FALSE(released_->error);
            auto next = must(Socket::adopt(std::move(released_->descriptor)));
            for (std::size_t got = released_->received.size(); got < sent_; ++got) {
                const datagram rest = must(co_await next.receive());
                CHECK(rest.text() == "yyy");
            }
            co_await until([this] {
                arrived_ += read_each_x(pair_->peer);
                return arrived_ >= size;
            });
            CHECK(arrived_ == size);
            next.abort();
        }
        released_ = failure(errc::closed);
        pair_.reset();
    }
    static constexpr std::size_t size = 1000;
    std::optional<socket_and_peer<Socket>> pair_;
    result<released_datagrams> released_;
    std::size_t arrived_ = 0;
    std::size_t sent_ = 0;
};

template <template <class> class Case> cases over_each_datagram_socket() {
    return each<Case<udp_socket>, Case<unix_datagram>>();
}
template <datagrams_by way> cases sending_datagrams() {
    return each<sends_datagrams<udp_socket, way>, sends_datagrams<unix_datagram, way>>();
}

} // namespace chainring::test
