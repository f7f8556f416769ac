// socket: a descriptor, the operations in flight on it, and the protocol by which it closes.
//
//     open -> draining -> lingering -> ending -> closing -> closed
//             |           |            |         |          the kernel has let go of the descriptor
//             |           |            |         IORING_OP_CLOSE is on its way
//             |           |            shutdown(2) done, everything cancelled, waiting for the last CQE
//             |           all is sent, the peer knows, and what it still sends is thrown away
//             nothing new is taken, and what was queued is still being sent
//
// A descriptor with operations in flight does not close: close(2) would send no FIN, and the number could
// name another connection while an operation still runs (L#932, L#568). So the socket lives on, held by the
// executor, until its last CQE has come. It lingers only for a peer that is known to send: a TCP socket that
// closes over unread data resets the connection, and the peer may lose the last response.
//
// A release goes the same way, without lingering and shutdown(2): after the last CQE whoever waits for it gets the descriptor,
// and what was received and not taken. Only a direct socket is `closing` then, its place in the table. If nobody waits any
// more the socket closes.
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
    // SO_SNDBUF and SO_RCVBUF, in bytes; 0 or less: the kernel's choice. Of more than net.core.wmem_max or rmem_max the kernel
    // takes that limit, without an error. It doubles what is asked for, since what it keeps beside the bytes counts too, and says
    // the double when it is asked.
    int send_buffer = 0;
    int receive_buffer = 0;

    bool sets_something_of_a_unix_socket() const noexcept {
        return keep_alive || send_buffer > 0 || receive_buffer > 0;
    }
};

// What a class of streams opens.
struct socket_kind {
    int type;              // SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
    bool internet = false; // with IPv4 and IPv6 addresses
    bool local = false;    // with those of unix sockets

    bool takes(int family) const noexcept {
        return family == AF_UNIX ? local : internet && (family == AF_INET || family == AF_INET6);
    }
};

struct close_tag;
class socket;
class close_operation;

// Who waits for the end of a socket: a close, or a release.
class end_waiter : public waiter, private list_node<close_tag> {
  protected:
    // nullptr: closed.
    explicit end_waiter(socket* ending) noexcept
        : socket_(ending) {}
    end_waiter(end_waiter&&) = default;
    ~end_waiter() = default;

    // It began, and has not ended.
    bool waits() const noexcept { return list_node<close_tag>::linked(); }
    void stop_waiting() noexcept { list_node<close_tag>::unlink(); }

    // Whether it wants the descriptor, and, if so, that it is its own from here. Runs while completions are reaped.
    virtual bool takes_descriptor() const noexcept { return false; }
    virtual void take_descriptor(int) noexcept {}

    socket* socket_;
    fault error_;

  private:
    friend socket;
    template <class T, class Tag> friend class intrusive_list;
};

class socket : protected completion, private turn_end_work, private resource {
  public:
    // For unique_ptr: the user has let go. The socket ends by itself, after its close.
    struct let_go_of {
        void operator()(socket* held) const noexcept { held->user_let_go(); }
    };

    bool open() const noexcept { return state_ == state::open; }
    // What an SQE names the socket by; `start` adds that it is direct, if so.
    int descriptor() const noexcept { return file_.number; }
    // -1: there is none, the socket is a direct one.
    int native_handle() const noexcept { return file_.direct ? -1 : file_.number; }
    // For system calls: an ordinary descriptor, which a direct socket gets at the first call, or a negative errno.
    // Not to be called while reaping.
    int control() noexcept;
    executor& home() const noexcept { return *home_; }
    // Its descriptor and its two addresses, for people.
    std::string name() const;

    result<endpoint> local();
    result<endpoint> peer();
    result<void> set(int level, int name, int value) noexcept;
    result<int> get(int level, int name) noexcept;
    // A stream's operation has failed, or has seen the end (0). The kernel tells why a connection broke to whichever
    // operation comes first, and to the others EPIPE or an end; here they are told the same. Errnos.
    int broke(int error) noexcept;

    // Sends what is queued, of buffered messages only or of all, then closes; within the limit, or else by a
    // reset. Nothing can be queued or received any more.
    enum class last_messages : bool { buffered, all };
    void close_gracefully(last_messages sent, duration limit) noexcept;
    // What is queued fails. A TCP peer sees a reset.
    void abort() noexcept { begin_close(manner::reset); }
    // Sends all that is queued, within the limit, and ends all operations; then `waiting` gets the descriptor.
    // errors: that of an ordinary descriptor for a direct socket, which goes on as it was
    fault release_to(end_waiter& waiting, duration limit) noexcept;
    // Not all has to be sent, because of `cause`.
    void hurry_release(fault cause) noexcept;
    // Nobody waits for the descriptor any more.
    void release_unheard() noexcept;
    // Why not all was sent; for whom the descriptor was released to.
    fault why_unsent() const noexcept { return close_outcome_; }
    int broken_by() const noexcept { return broken_by_; } // an errno, or 0

    // For the parts of a socket that have operations of their own: the socket closes when all have ended.
    // Each terminal CQE that arrives at `target` is followed by a call of operation_ended.
    template <class Prepare> operation_id start(completion& target, Prepare&& prepare) {
        ++in_flight_;
        return home_->submit(target, [&](io_uring_sqe& sqe) {
            prepare(sqe);
            sqe.flags |= sqe_flags_;
        });
    }
    template <class Prepare>
    operation_id start_chain(completion& target, unsigned members, Prepare&& prepare) {
        ++in_flight_;
        return home_->submit_chain(target, members, [&](io_uring_sqe& sqe, unsigned member) {
            prepare(sqe, member);
            sqe.flags |= sqe_flags_;
        });
    }
    void ask_for_turn_end() noexcept { home_->at_turn_end(*this); }
    void operation_ended() noexcept {
        if (--in_flight_ == 0 && state_ == state::ending) [[unlikely]]
            ask_for_turn_end();
    }

  protected:
    socket(executor& home, file_handle file) noexcept;
    virtual ~socket() = default;

    // An operation of the socket itself, whose CQEs arrive at `completed`.
    template <class Prepare> operation_id start(Prepare&& prepare) {
        return start(*this, std::forward<Prepare>(prepare));
    }
    // A CQE of an operation that `start` began. Runs while reaping: no user code, no SQEs.
    virtual void completed(const io_uring_cqe& cqe) noexcept = 0;
    // The turn's coroutines have run; SQEs may be taken. Not called once the socket is ending.
    virtual void submit_pending() noexcept {}
    // Nothing new is taken any more; what was queued is sent, until it is gone or cannot be sent.
    virtual void drain(last_messages) noexcept {}
    virtual bool drained() noexcept { return true; }
    virtual fault drain_failure() noexcept { return {}; }
    // What a close is told that comes too late.
    virtual fault why_closed() const noexcept { return errc::closed; }
    // True: the peer still sends, and is told that nothing more will come; what it sends is thrown away until
    // it has ended.
    virtual bool linger() noexcept { return false; }
    virtual bool lingered() noexcept { return true; }
    // Nothing new is taken any more; what was received, and what is received until all operations have ended, is kept.
    virtual void prepare_release() noexcept = 0;
    bool releasing() noexcept {
        return !waiting_for_end_.empty() && waiting_for_end_.front().takes_descriptor();
    }
    // Nothing may be waited for any more; operations in flight will be cancelled next.
    virtual void closing() noexcept = 0;
    virtual void cancel_in_flight() noexcept = 0;
    // Others use the same socket by a descriptor of their own, and what ends for it must not end for them.
    virtual bool is_shared() const noexcept { return false; }
    // The kernel has let go of the descriptor.
    virtual void let_go() noexcept {}
    // Adds the messages and blocks that it holds.
    virtual void count_queued(holdings&) const noexcept {}

    // submit_pending follows the end of the next close, of whatever socket.
    void ask_for_close_end() noexcept { home_->at_close_end(*this); }

  private:
    friend class close_operation;

    void await_end(end_waiter& waiting) noexcept { waiting_for_end_.push_back(waiting); }

    enum class state : std::uint8_t { open, draining, lingering, ending, closing, closed };
    enum class manner : std::uint8_t { orderly, reset };

    // A peer that does not read, or does not end, must not hold the connection for ever.
    class close_limit final : public timer {
      public:
        explicit close_limit(socket& closing) noexcept
            : socket_(closing) {}
        void fire() noexcept override { socket_.close_at_limit(errc::timed_out); }

      private:
        socket& socket_;
    };

    bool ending() const noexcept { return state_ >= state::ending; }
    void begin_close(manner how) noexcept;
    void let_close_reset() noexcept;
    void begin_draining(duration limit) noexcept;
    void go_on_draining() noexcept;
    void end_close_at(time_point deadline) noexcept;
    void close_at_limit(fault cause) noexcept;
    void go_on_closing() noexcept;
    void end_for_release() noexcept;
    void hand_over(int descriptor) noexcept;

    void complete(const io_uring_cqe& cqe) noexcept final;
    void at_turn_end() noexcept final;
    void abandon() noexcept final { begin_close(home_->gave_up() ? manner::reset : manner::orderly); }
    void count(holdings& total) const noexcept final {
        ++total.descriptors;
        count_queued(total);
    }
    std::string describe(time_point now) const final;
    void user_let_go() noexcept;
    void submit_close() noexcept;
    void finish_close() noexcept;
    void ended() noexcept;

    executor* home_;
    time_point since_;
    time_point close_deadline_; // of a graceful close
    file_handle file_;
    int control_ = -1;  // of a direct socket
    int broken_by_ = 0; // errno
    std::uint32_t in_flight_ = 0;
    std::uint8_t sqe_flags_;
    state state_ = state::open;
    bool user_gone_ = false;
    fault close_outcome_ = errc::closed;                    // of a close that is awaited, until all is sent
    intrusive_list<end_waiter, close_tag> waiting_for_end_; // one at most
    std::unique_ptr<close_limit> close_limit_;              // only while draining or lingering
};

// Closes gracefully and completes when the kernel has let go of the descriptor.
class [[nodiscard("co_await it")]] close_operation : public operation<close_operation, end_waiter> {
  public:
    // nullptr: closed.
    close_operation(socket* closing, duration limit) noexcept
        : operation(closing)
        , limit_(limit) {}
    close_operation(close_operation&&) = default;

    bool start(executor&) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { socket_->close_at_limit(errc::cancelled); }
    void describe(task_tree& to) const override { to.waits("close of", socket_->name()); }
    result<void> await_resume() const noexcept {
        if (error_) return failure(error_);
        return {};
    }

  private:
    duration limit_;
};

template <class Socket> using socket_pointer = std::unique_ptr<Socket, socket::let_go_of>;

// Those of them that a socket has which is no stream.
socket_options of_datagrams(socket_options options) noexcept;
// 0 or -errno.
int apply_options(kernel& behind, int descriptor, int family, const socket_options& options) noexcept;
// A new descriptor with the options set, or -errno and no descriptor; -EAFNOSUPPORT for an address of another kind.
int open_socket(
    kernel& behind, const endpoint& at, const socket_kind& kind, const socket_options& options) noexcept;

// The executor whose task runs on this thread; std::errc::operation_not_permitted outside of one.
result<executor*> current_executor() noexcept;

} // namespace chainring
