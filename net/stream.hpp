// stream: a connected byte stream, TCP or unix. Move-only; when it is destroyed the connection closes by
// itself. tcp_stream and unix_stream add how one is made.
#pragma once

#include <chainring/net/connection.hpp>
#include <chainring/runtime/task.hpp>

#include <string_view>

namespace chainring {

class [[nodiscard("co_await it")]] receive_operation final
    : public operation<receive_operation, receiver::reader> {
  public:
    explicit receive_operation(receiver* from) noexcept
        : operation(from) {}
    receive_operation(receive_operation&&) = default;

    bool await_ready() const noexcept { return from_ != nullptr && from_->may_take(); }
    bool start(executor&) noexcept {
        error_ = from_ != nullptr ? from_->wait(*this) : fault(errc::closed);
        return !error_;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override;
    result<buffer> await_resume() noexcept {
        if (error_) [[unlikely]]
            return failure(error_);
        return from_->take(*this);
    }
};

class [[nodiscard("co_await it")]] receive_into_operation final
    : public operation<receive_into_operation, receiver::reader> {
  public:
    receive_into_operation(receiver* from, std::span<std::byte> target) noexcept
        : operation(from)
        , target_(target) {}
    receive_into_operation(receive_into_operation&&) = default;
    ~receive_into_operation() {
        if (direct_ && from_ != nullptr) end();
    }

    bool start(executor&) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override;
    result<std::size_t> await_resume() noexcept;

  private:
    void received_directly(int result) noexcept override { received_ = result; }
    void end() noexcept;

    std::span<std::byte> target_;
    int received_ = 0;    // bytes, by an operation of its own
    bool direct_ = false; // it has one
};

class [[nodiscard("co_await it")]] send_operation final : public operation<send_operation>,
                                                          private outgoing_message {
  public:
    send_operation(sender* to, std::span<const std::byte> borrowed) noexcept
        : outgoing_message(borrowed)
        , to_(to) {}
    send_operation(sender* to, buffer&& lease) noexcept
        : outgoing_message(std::as_const(lease).bytes())
        , to_(to)
        , lease_(std::move(lease)) {}
    send_operation(send_operation&&) = default;
    ~send_operation() {
        if (list_node<message_tag>::linked()) [[unlikely]]
            end();
    }

    bool start(executor&) noexcept {
        error_ = to_ != nullptr ? to_->send(*this) : fault(errc::closed);
        return !error_;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { to_->cancel(*this); }
    result<std::size_t> await_resume() noexcept {
        lease_.reset(); // the block goes home before the coroutine runs on, not when the expression ends
        if (error_) [[unlikely]]
            return failure(error_);
        return sent();
    }

  private:
    void settled(fault error) noexcept override {
        error_ = error;
        to_->home().ready().push(*this);
    }
    void end() noexcept;

    sender* to_;
    buffer lease_;
    fault error_;
};

class stream {
  public:
    stream() noexcept = default; // closed
    explicit stream(socket_pointer<connection> connected) noexcept
        : connection_(std::move(connected)) {}

    // The next bytes, as a lease on the executor's buffer pool; an empty buffer at the end of the stream.
    //
    // completes when: at least one byte is there, or the peer has ended its side
    // errors:         the connection's own (ECONNRESET, ...); errc::closed after close(); errc::busy while another
    //                 task receives; errc::cancelled
    // cancellation:   at once; bytes that arrive later are kept for the next receive
    // ownership:      the lease is the caller's until it dies; it may go to another thread
    // thread:         the executor's
    receive_operation receive() noexcept { return receive_operation(receiving()); }

    // The same, into the caller's memory; the value is the number of bytes, 0 at the end of the stream.
    //
    // cancellation:   waits for the kernel; bytes that were received by then are the result
    // ownership:      `target` is the caller's and must live until completion; destroying the operation waits
    receive_into_operation receive_into(std::span<std::byte> target) noexcept {
        return receive_into_operation(receiving(), target);
    }

    // Sends all of the message behind everything queued before it. The value is the number of bytes, all of
    // them.
    //
    // completes when: the whole batch that carried the message is complete
    // errors:         the connection's own (EPIPE, ECONNRESET, ...) for the message that failed;
    //                 errc::never_started for those queued behind it; errc::broken for a send after that;
    //                 errc::closed; errc::cancelled
    // cancellation:   a message still in the queue leaves it and nothing of it is sent; one that is with the kernel
    //                 is asked to end, and if part of it is on the wire the stream is broken
    // ownership:      a lease moves into the queue; bytes must live until completion, and destroying the operation
    //                 waits for the kernel
    // thread:         the executor's
    send_operation send(buffer&& lease) noexcept { return {sending(), std::move(lease)}; }
    send_operation send(std::span<const std::byte> bytes) noexcept { return {sending(), bytes}; }
    send_operation send(std::string_view text) noexcept {
        return send(std::as_bytes(std::span(text.data(), text.size())));
    }

    // Half-close: after all that is queued the peer sees the end of the stream; receiving goes on.
    task<result<void>> shutdown();

    // Sends what is queued, then closes, and completes when the kernel has let go of the descriptor.
    task<result<void>> close();

    bool is_open() const noexcept { return connection_ != nullptr && connection_->open(); }
    int native_handle() const noexcept { return is_open() ? connection_->descriptor() : -1; }
    result<endpoint> local() const { return is_open() ? connection_->local() : failure(errc::closed); }
    result<endpoint> peer() const { return is_open() ? connection_->peer() : failure(errc::closed); }
    result<void> set_option(int level, int name, int value) noexcept {
        return is_open() ? connection_->set(level, name, value) : failure(errc::closed);
    }
    result<int> option(int level, int name) const noexcept {
        return is_open() ? connection_->get(level, name) : failure(errc::closed);
    }

  private:
    receiver* receiving() const noexcept { return connection_ ? &connection_->receiving() : nullptr; }
    sender* sending() const noexcept { return connection_ ? &connection_->sending() : nullptr; }

    socket_pointer<connection> connection_;
};

} // namespace chainring
