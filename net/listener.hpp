// Listening sockets. A listener accepts one connection at a time, for one waiting task; what it needs when
// descriptors or memory run out is time, so it backs off and tries again, and the connection waits in the
// backlog meanwhile.
#pragma once

#include <chainring/net/stream.hpp>
#include <chainring/runtime/timer_wheel.hpp>

#include <string>

namespace chainring {

struct listen_options {
    socket_options socket; // inherited by the accepted connections
    int backlog = 4096;    // connections; the kernel caps it at net.core.somaxconn
};

class acceptor final : public socket, private timer {
  public:
    class taker {
      public:
        // A descriptor that the taker owns from here, or a negative errno.
        virtual void accepted(int result) noexcept = 0;

      protected:
        ~taker() = default;
    };

    // `path`: a unix socket's file, removed when the listener closes.
    acceptor(executor& home, int descriptor, std::string path, const socket_options& not_inherited)
        : socket(home, descriptor)
        , path_(std::move(path))
        , not_inherited_(not_inherited) {}

    // False: another task waits already.
    bool wait(taker& waiting) noexcept;
    // The task no longer waits; a connection that was accepted for it is closed.
    void leave(taker& waiting) noexcept;
    // The task is told when it is certain that nothing was accepted for it.
    void cancel() noexcept;

  private:
    ~acceptor() override = default;

    void completed(const io_uring_cqe& cqe) noexcept override;
    void submit_pending() noexcept override;
    void closing() noexcept override;
    void cancel_in_flight() noexcept override;
    void fire() noexcept override { ask_for_turn_end(); }
    void tell(int result) noexcept;
    void back_off() noexcept;

    std::string path_;
    socket_options not_inherited_; // what the kernel does not hand down to connections
    operation_id accept_;
    taker* taker_ = nullptr;
    duration pause_{};
    bool cancelled_ = false;
};

class accept_waiter : public operation<accept_waiter>, private acceptor::taker {
  public:
    bool start(executor& home) noexcept;
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { acceptor_->cancel(); }

  protected:
    accept_waiter(acceptor* from, int type) noexcept
        : acceptor_(from)
        , type_(type) {}
    accept_waiter(accept_waiter&& other) noexcept
        : operation(std::move(other))
        , acceptor_(other.acceptor_)
        , type_(other.type_) {}
    ~accept_waiter();
    result<socket_pointer<connection>> take() noexcept;

  private:
    void accepted(int result) noexcept override;

    acceptor* acceptor_;
    int type_;
    executor* home_ = nullptr;
    int descriptor_ = -1;
    fault error_;
};

template <class Stream> class [[nodiscard("co_await it")]] accept_operation : public accept_waiter {
  public:
    explicit accept_operation(acceptor* from) noexcept
        : accept_waiter(from, Stream::socket_type) {}

    result<Stream> await_resume() noexcept {
        result<socket_pointer<connection>> accepted = take();
        if (!accepted) return failure(accepted.error());
        return Stream(std::move(*accepted));
    }
};

// Opens, binds and listens. errors: the errno of socket(2), setsockopt(2), bind(2) or listen(2)
result<socket_pointer<acceptor>> listen_on(int type, const endpoint& at, const listen_options& options);

// Move-only; destroying it closes it.
template <class Stream> class listener {
  public:
    listener() noexcept = default; // closed

    // Must be called on an executor's thread, by which the listener is served:
    // std::errc::operation_not_permitted otherwise. errors: address in use, permission denied, ...
    static result<listener> bind(const endpoint& at, const listen_options& options = {}) {
        result<socket_pointer<acceptor>> opened = listen_on(Stream::socket_type, at, options);
        if (!opened) return failure(opened.error());
        listener made;
        made.acceptor_ = std::move(*opened);
        return made;
    }

    // The next connection.
    //
    // completes when: there is one; while descriptors or memory are short (EMFILE, ENFILE, ENOBUFS, ENOMEM) it
    //                 waits and tries again, and the connection stays in the backlog
    // errors:         errc::closed; errc::busy while another task accepts; errc::cancelled
    // cancellation:   waits for the kernel; a connection that was accepted by then is the result
    // ownership:      the stream is the caller's; one that nobody took is closed
    // thread:         the executor's
    accept_operation<Stream> accept() noexcept { return accept_operation<Stream>(acceptor_.get()); }

    // Stops listening, and completes when the kernel has let go of the descriptor.
    task<result<void>> close() {
        if (!is_open()) co_return failure(errc::closed);
        acceptor_->begin_close();
        co_await socket::closed_operation(*acceptor_);
        co_return result<void>();
    }

    bool is_open() const noexcept { return acceptor_ != nullptr && acceptor_->open(); }
    int native_handle() const noexcept { return is_open() ? acceptor_->descriptor() : -1; }
    // Where it listens, with the port that the kernel chose.
    result<endpoint> local() const { return is_open() ? acceptor_->local() : failure(errc::closed); }

  private:
    socket_pointer<acceptor> acceptor_;
};

} // namespace chainring
