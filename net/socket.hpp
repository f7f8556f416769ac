// socket: a descriptor, the operations in flight on it, and the protocol by which it closes.
//
//     open -> draining -> ending -> closing -> closed
//             |           |         |          the kernel has let go of the descriptor
//             |           |         IORING_OP_CLOSE is on its way
//             |           shutdown(2) done, everything cancelled, waiting for the last CQE
//             the user has let go, and what was written is still being sent
//
// A descriptor with operations in flight does not close: close(2) would send no FIN, and the number could
// name another connection while an operation still runs (L#932, L#568). So the socket lives on, held by the
// executor, until its last CQE has come.
#pragma once

#include <chainring/net/endpoint.hpp>
#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/operation.hpp>

#include <memory>

namespace chainring {

// Set on a listener, they hold for the connections that it accepts.
struct socket_options {
    bool no_delay = true;    // TCP_NODELAY: batches are formed here, not by Nagle's algorithm
    bool keep_alive = false; // SO_KEEPALIVE
    bool reuse_port = false; // SO_REUSEPORT, for listeners: one for each executor
    int send_buffer = 0;     // SO_SNDBUF in bytes; 0: the kernel's choice
    int receive_buffer = 0;  // SO_RCVBUF in bytes; 0: the kernel's choice
};

class socket : protected completion, private turn_end_work, private resource {
  public:
    // For unique_ptr: the user has let go. The socket ends by itself, after its close.
    struct release {
        void operator()(socket* released) const noexcept { released->user_let_go(); }
    };

    bool open() const noexcept { return state_ == state::open; }
    int descriptor() const noexcept { return descriptor_; }
    executor& home() const noexcept { return *home_; }

    result<endpoint> local() const;
    result<endpoint> peer() const;
    result<void> set(int level, int name, int value) noexcept;
    result<int> get(int level, int name) const noexcept;

    // Begins the close; nothing can be started any more. Idempotent.
    void begin_close() noexcept { begin_close(manner::orderly); }
    // The same, and a TCP peer sees a reset.
    void abort() noexcept { begin_close(manner::reset); }
    bool closed() const noexcept { return state_ == state::closed; }

    // For the parts of a socket that have operations of their own: the socket closes when all have ended.
    // Each terminal CQE that arrives at `target` is followed by a call of operation_ended.
    template <class Prepare> operation_id start(completion& target, Prepare&& prepare) {
        ++in_flight_;
        return home_->submit(target, std::forward<Prepare>(prepare));
    }
    template <class Prepare>
    operation_id start_chain(completion& target, unsigned members, Prepare&& prepare) {
        ++in_flight_;
        return home_->submit_chain(target, members, std::forward<Prepare>(prepare));
    }
    void ask_for_turn_end() noexcept { home_->at_turn_end(*this); }
    void operation_ended() noexcept {
        if (--in_flight_ == 0 && state_ == state::ending) [[unlikely]]
            ask_for_turn_end();
    }

    // Resumed when the socket is closed.
    class [[nodiscard("co_await it")]] closed_operation final : public waiter {
      public:
        explicit closed_operation(socket& closing) noexcept
            : socket_(&closing) {}
        bool await_ready() const noexcept { return socket_->closed(); }
        void await_suspend(std::coroutine_handle<> caller) noexcept {
            coroutine_ = caller;
            socket_->waiting_for_close_.push_back(*this);
        }
        void await_resume() const noexcept {}
        void cancel() noexcept override {} // in no scope: a close ends by itself

      private:
        socket* socket_;
    };

  protected:
    socket(executor& home, int descriptor) noexcept;
    virtual ~socket() = default;

    // An operation of the socket itself, whose CQEs arrive at `completed`.
    template <class Prepare> operation_id start(Prepare&& prepare) {
        return start(*this, std::forward<Prepare>(prepare));
    }
    // A CQE of an operation that `start` began. Runs while reaping: no user code, no SQEs.
    virtual void completed(const io_uring_cqe& cqe) noexcept = 0;
    // The turn's coroutines have run; SQEs may be taken. Called only while open or draining.
    virtual void submit_pending() noexcept {}
    // The user has let go. True: something is left to be sent, until `drained`.
    virtual bool drain() noexcept { return false; }
    virtual bool drained() noexcept { return true; }
    // Nothing may be waited for any more; operations in flight will be cancelled next.
    virtual void closing() noexcept = 0;
    virtual void cancel_in_flight() noexcept = 0;
    // The kernel has let go of the descriptor.
    virtual void let_go() noexcept {}

    // submit_pending follows the end of the next close, of whatever socket.
    void ask_for_close_end() noexcept { home_->at_close_end(*this); }

  private:
    enum class state : std::uint8_t { open, draining, ending, closing, closed };
    enum class manner : std::uint8_t { orderly, reset };

    // A peer that does not read must not hold the connection for ever.
    class drain_limit final : public timer {
      public:
        explicit drain_limit(socket& draining) noexcept
            : socket_(draining) {}
        void fire() noexcept override { socket_.abort(); }

      private:
        socket& socket_;
    };

    void begin_close(manner how) noexcept;

    void complete(const io_uring_cqe& cqe) noexcept final;
    void at_turn_end() noexcept final;
    void abandon() noexcept final { begin_close(); }
    void user_let_go() noexcept;
    void finish_close() noexcept;

    executor* home_;
    int descriptor_;
    std::uint32_t in_flight_ = 0;
    state state_ = state::open;
    bool released_ = false;
    waiter_list waiting_for_close_;
    std::unique_ptr<drain_limit> drain_limit_; // only while draining
};

template <class Socket> using socket_pointer = std::unique_ptr<Socket, socket::release>;

// 0 or -errno.
int apply_options(kernel& behind, int descriptor, int family, const socket_options& options) noexcept;
// A new descriptor with the options set, or -errno and no descriptor.
int open_socket(kernel& behind, const endpoint& at, int type, const socket_options& options) noexcept;

// The executor whose task runs on this thread; std::errc::operation_not_permitted outside of one.
result<executor*> current_executor() noexcept;

} // namespace chainring
