// Releases, and descriptors that pass to another process, against their cancellation (race_case.hpp).
#pragma once

#include "adopted.hpp"
#include "plain_passing.hpp"
#include "race_case.hpp"

namespace chainring::test {

// What was written is sent or handed over, what the peer sends is received by somebody, and nothing ends.
class releases final : public race_case {
    task<> prepare() override {
        pair_.emplace(co_await pair_for_a_race());
        CHECK(pair_->peer.send("y"));
        co_await expect(pair_->stream, "y"); // the receive stays armed
        if (!over_any::carries_bytes()) fill(pair_->stream.native_handle());
        must(co_await pair_->stream.write(std::string(size, 'x')));
        released_ = failure(errc::closed);
        arrived_ = sent_ = 0;
    }
    task<std::error_code> operate() override {
        released_ = co_await pair_->stream.release(std::chrono::hours(1));
        co_return ended(released_);
    }
    void complete() override {
        arrived_ += read_each_x(pair_->peer);
        sent_ += pair_->peer.send("yyy") ? 3 : 0;
    }
    task<> check(std::error_code error) override {
        if (error) { // cancelled before it began
            CHECK(error == errc::cancelled);
            CHECK(pair_->stream.is_open());
            pair_->stream.abort();
        } else {
            for (const auto& each : released_->unsent) arrived_ += each.size();
            if (released_->unsent.empty()) CHECK_FALSE(released_->error);
            std::vector<byte_span> pieces;
            for (const buffer& each : released_->received) pieces.emplace_back(each.bytes());
            auto next = must(over_any::stream::adopt(std::move(released_->descriptor), pieces));
            co_await expect(next, std::string(sent_, 'y'));
            co_await until([this] {
                arrived_ += read_each_x(pair_->peer);
                return arrived_ >= size;
            });
            CHECK(arrived_ == size);
            next.abort();
        }
        pair_->peer.reset();
        released_ = failure(errc::closed);
        pair_.reset();
    }
    const std::size_t size = over_any::carries_bytes() ? 10'000 : 1000;
    std::optional<stream_and_peer<over_any>> pair_;
    result<released_stream> released_;
    std::size_t arrived_ = 0;
    std::size_t sent_ = 0;
};

// A connection is with the released listener, or in its backlog.
class releases_a_listener final : public race_case {
    task<> prepare() override {
        listener_ = must(over_any::listener::bind(over_any::somewhere()));
        peer_ = plain_socket::connected_to(must(listener_.local()), 0, over_any::stream::kind.type);
        ahead_.emplace(listener_);
        released_ = failure(errc::closed);
        co_return;
    }
    task<std::error_code> operate() override {
        released_ = co_await listener_.release();
        co_return ended(released_);
    }
    task<> check(std::error_code error) override {
        if (!error) {
            listener_ = must(over_any::listener::adopt(std::move(released_->descriptor)));
            CHECK(released_->accepted.size() <= 1);
            if (released_->accepted.empty()) {
                auto accepted = must(co_await listener_.accept());
                released_->accepted.push_back(std::move(accepted));
            }
            co_await send_all(released_->accepted.front(), "z");
        } else {
            CHECK(error == errc::cancelled);
            auto accepted = must(co_await listener_.accept());
            co_await send_all(accepted, "z");
        }
        const std::string read = co_await read_plain(peer_, 1);
        CHECK(read == "z");
        ahead_.reset();
        released_ = failure(errc::closed);
        peer_.reset();
        must(co_await listener_.close());
    }
    over_any::listener listener_;
    std::optional<connection_stream<over_any::stream>> ahead_;
    result<released_listener<over_any::stream>> released_;
    plain_socket peer_;
};

// A descriptor that the peer sends is received in this round or by the next receive.
class receives_descriptors final : public race_case {
    task<> prepare() override {
        if (!pair_) pair_.emplace(co_await connected_to_plain<over_any>());
    }
    task<std::error_code> operate() override {
        const auto received = co_await pair_->stream.receive_fd(std::as_writable_bytes(std::span(memory_)));
        if (received) CHECK(received->descriptors.size() == 1);
        co_return ended(received);
    }
    void complete() override { CHECK(send_plainly(pair_->peer, pair_->peer.get(), 'x')); }
    task<> check(std::error_code error) override {
        if (!error) co_return;
        const auto received =
            must(co_await pair_->stream.receive_fd(std::as_writable_bytes(std::span(memory_))));
        CHECK(received.descriptors.size() == 1);
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    std::optional<stream_and_peer<over_any>> pair_;
    std::array<char, 4> memory_{};
};

// Those arrive that the results claim.
class sends_descriptors final : public race_case {
    task<> prepare() override {
        if (!pair_) {
            pair_.emplace(co_await pair_for_a_race());
            claimed_ = arrived_ = 0;
        }
        fill(pair_->stream.native_handle());
    }
    task<std::error_code> operate() override {
        auto sending = pair_->stream.send_fd(pair_->peer.get(), "x");
        const result<std::size_t> sent = co_await sending;
        claimed_ += sending.sent() != 0 ? 1 : 0;
        co_return ended(sent);
    }
    void complete() override { arrived_ += descriptors_read_now(pair_->peer); }
    task<> check(std::error_code) override {
        co_await until([this] {
            arrived_ += descriptors_read_now(pair_->peer);
            return arrived_ >= claimed_;
        });
        CHECK(arrived_ == claimed_);
    }
    task<> finish() override {
        pair_.reset();
        co_return;
    }
    std::optional<stream_and_peer<over_any>> pair_;
    int claimed_ = 0;
    int arrived_ = 0;
};

} // namespace chainring::test
