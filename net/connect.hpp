// Connecting a stream, whatever its family.
#pragma once

#include <chainring/net/stream.hpp>

namespace chainring {

class connect_waiter : public operation<connect_waiter>, private connector, private turn_end_work {
  public:
    bool start(executor& home) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override;
    void describe(task_tree& to) const override { to.waits("connect to", to_.to_string()); }

  protected:
    connect_waiter(
        const socket_kind& kind, const endpoint& to, const endpoint& from,
        const socket_options& options) noexcept
        : kind_(kind)
        , to_(to)
        , from_(from)
        , options_(options) {}
    connect_waiter(connect_waiter&& other) noexcept
        : operation(std::move(other))
        , kind_(other.kind_)
        , to_(other.to_)
        , from_(other.from_)
        , options_(other.options_) {}
    ~connect_waiter();
    result<socket_pointer<connection>> take() noexcept;

  private:
    int open() noexcept;
    void connected(int result) noexcept override;
    void at_turn_end() noexcept override;

    socket_kind kind_;
    endpoint to_;
    endpoint from_; // of no family: whatever the kernel chooses
    socket_options options_;
    executor* home_ = nullptr;
    socket_pointer<connection> connection_; // once there is a descriptor
    fault error_;
};

// completes when: the connection is established. While descriptors are short and a close is pending that will give one
//                 back, it waits for that
// errors:         EAFNOSUPPORT for an address of another kind than the stream's; ECONNREFUSED, ETIMEDOUT, EMFILE, ...; errc::cancelled
// cancellation:   waits for the kernel; a connection that was established by then is the result
// ownership:      the stream is the caller's; one that nobody took is closed
// thread:         the executor's
template <class Stream> class [[nodiscard("co_await it")]] connect_operation : public connect_waiter {
  public:
    connect_operation(const endpoint& to, const socket_options& options) noexcept
        : connect_waiter(Stream::kind, to, {}, options) {}
    connect_operation(const endpoint& to, const endpoint& from, const socket_options& options) noexcept
        : connect_waiter(Stream::kind, to, from, options) {}

    result<Stream> await_resume() noexcept {
        result<socket_pointer<connection>> connected = take();
        if (!connected) return failure(connected.error());
        return Stream(std::move(*connected));
    }
};

} // namespace chainring
