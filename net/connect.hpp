// Connecting a stream, whatever its family.
#pragma once

#include <chainring/net/stream.hpp>

namespace chainring {

class connect_waiter : public operation<connect_waiter>, private connection::connector {
  public:
    bool start(executor& home) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { connection_->cancel_connect(); }
    void describe(task_tree& to) const override { to.waits("connect to", to_.to_string()); }

  protected:
    connect_waiter(int type, const endpoint& to, const endpoint& from, const socket_options& options) noexcept
        : type_(type)
        , to_(to)
        , from_(from)
        , options_(options) {}
    connect_waiter(connect_waiter&& other) noexcept
        : operation(std::move(other))
        , type_(other.type_)
        , to_(other.to_)
        , from_(other.from_)
        , options_(other.options_) {}
    ~connect_waiter();
    result<socket_pointer<connection>> take() noexcept;

  private:
    void connected(int result) noexcept override;

    int type_;
    endpoint to_;
    endpoint from_; // of no family: whatever the kernel chooses
    socket_options options_;
    socket_pointer<connection> connection_;
    fault error_;
};

// completes when: the connection is established
// errors:         ECONNREFUSED, ETIMEDOUT, ...; errc::cancelled
// cancellation:   waits for the kernel; a connection that was established by then is the result
// ownership:      the stream is the caller's; one that nobody took is closed
// thread:         the executor's
template <class Stream> class [[nodiscard("co_await it")]] connect_operation : public connect_waiter {
  public:
    connect_operation(const endpoint& to, const socket_options& options) noexcept
        : connect_waiter(Stream::socket_type, to, {}, options) {}
    connect_operation(const endpoint& to, const endpoint& from, const socket_options& options) noexcept
        : connect_waiter(Stream::socket_type, to, from, options) {}

    result<Stream> await_resume() noexcept {
        result<socket_pointer<connection>> connected = take();
        if (!connected) return failure(connected.error());
        return Stream(std::move(*connected));
    }
};

} // namespace chainring
