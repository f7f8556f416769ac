// stream: a connected byte stream, TCP or unix. Move-only; when it is destroyed the connection closes by
// itself. tcp_stream and unix_stream add how one is made.
#pragma once

#include <chainring/net/connection.hpp>
#include <chainring/runtime/task.hpp>

#include <string_view>

namespace chainring {

class [[nodiscard("co_await it")]] receive_operation : public operation<receive_operation>,
                                                       private connection::reader {
  public:
    explicit receive_operation(connection* from) noexcept
        : connection_(from) {}
    receive_operation(receive_operation&& other) noexcept
        : operation(std::move(other))
        , connection_(other.connection_) {}
    ~receive_operation() {
        if (connection_ != nullptr) connection_->leave(*this);
    }

    bool await_ready() const noexcept;
    bool start(executor& home) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override;
    result<buffer> await_resume() noexcept;

  private:
    void news(bool closed) noexcept override;
    void received_directly(int) noexcept override {}

    connection* connection_;
    fault error_;
};

class [[nodiscard("co_await it")]] receive_into_operation : public operation<receive_into_operation>,
                                                            private connection::reader {
  public:
    receive_into_operation(connection* from, std::span<std::byte> target) noexcept
        : connection_(from)
        , target_(target) {}
    receive_into_operation(receive_into_operation&& other) noexcept
        : operation(std::move(other))
        , connection_(other.connection_)
        , target_(other.target_) {}
    ~receive_into_operation();

    bool start(executor& home) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override;
    result<std::size_t> await_resume() noexcept;

  private:
    void news(bool closed) noexcept override;
    void received_directly(int result) noexcept override;

    connection* connection_;
    std::span<std::byte> target_;
    fault error_;
    std::size_t size_ = 0;
    executor* home_ = nullptr; // set while the kernel writes straight into the target
};

class [[nodiscard("co_await it")]] send_operation : public operation<send_operation>,
                                                    private outgoing_message {
  public:
    send_operation(connection* to, std::span<const std::byte> borrowed) noexcept
        : outgoing_message(borrowed)
        , connection_(to) {}
    send_operation(connection* to, buffer&& lease) noexcept
        : outgoing_message(std::as_const(lease).bytes())
        , connection_(to)
        , lease_(std::move(lease)) {}
    send_operation(send_operation&& other) noexcept
        : operation(std::move(other))
        , outgoing_message(std::move(other))
        , connection_(other.connection_)
        , lease_(std::move(other.lease_)) {}
    ~send_operation();

    bool start(executor& home) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { connection_->cancel_send(*this); }
    result<std::size_t> await_resume() noexcept;

  private:
    void settled(fault error) noexcept override;

    connection* connection_;
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
    // errors:         the connection's own (ECONNRESET, ...); errc::closed after close(); errc::busy while
    // another
    //                 task receives; errc::cancelled
    // cancellation:   at once; bytes that arrive later are kept for the next receive
    // ownership:      the lease is the caller's until it dies; it may go to another thread
    // thread:         the executor's
    receive_operation receive() noexcept { return receive_operation(connection_.get()); }

    // The same, into the caller's memory; the value is the number of bytes, 0 at the end of the stream.
    //
    // cancellation:   waits for the kernel; bytes that were received by then are the result
    // ownership:      `target` is the caller's and must live until completion; destroying the operation waits
    receive_into_operation receive_into(std::span<std::byte> target) noexcept {
        return receive_into_operation(connection_.get(), target);
    }

    // Sends all of the message behind everything queued before it. The value is the number of bytes, all of
    // them.
    //
    // completes when: the whole batch that carried the message is complete
    // errors:         the connection's own (EPIPE, ECONNRESET, ...) for the message that failed;
    // errc::never_started for
    //                 those queued behind it; errc::broken for a send after that; errc::closed;
    //                 errc::cancelled
    // cancellation:   a message still in the queue leaves it and nothing of it is sent; one that is with the
    // kernel is
    //                 asked to end, and if part of it is on the wire the stream is broken
    // ownership:      a lease moves into the queue; bytes must live until completion, and destroying the
    // operation
    //                 waits for the kernel
    // thread:         the executor's
    send_operation send(buffer lease) noexcept { return {connection_.get(), std::move(lease)}; }
    send_operation send(std::span<const std::byte> bytes) noexcept { return {connection_.get(), bytes}; }
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
    socket_pointer<connection> connection_;
};

} // namespace chainring
