// Listening sockets: tcp_listener, unix_listener and seqpacket_listener are this for their kind of stream.
#pragma once

#include <chainring/net/acceptor.hpp>
#include <chainring/net/adopt.hpp>
#include <chainring/net/release.hpp>
#include <chainring/net/stream.hpp>

namespace chainring {

class accept_waiter : public operation<accept_waiter>, private acceptor::taker {
  public:
    bool start(executor& home) noexcept;
    void refuse(fault error) noexcept {
        acceptor_ = nullptr;
        error_ = error;
    }
    void cancel() noexcept override { acceptor_->cancel(); }
    void describe(task_tree& to) const override { to.waits("accept on", acceptor_->name()); }

  protected:
    accept_waiter(acceptor* from, const socket_kind& kind) noexcept
        : acceptor_(from)
        , kind_(kind) {}
    accept_waiter(accept_waiter&& other) noexcept
        : operation(std::move(other))
        , acceptor_(other.acceptor_)
        , kind_(other.kind_) {}
    ~accept_waiter();
    result<socket_pointer<connection>> take() noexcept;

  private:
    void accepted(accepted_connection taken) noexcept override;

    acceptor* acceptor_;
    socket_kind kind_;
    executor* home_ = nullptr;
    accepted_connection taken_;
    fault error_;
};

template <class Stream> class [[nodiscard("co_await it")]] accept_operation : public accept_waiter {
  public:
    explicit accept_operation(acceptor* from) noexcept
        : accept_waiter(from, Stream::kind) {}

    result<Stream> await_resume() noexcept {
        result<socket_pointer<connection>> accepted = take();
        if (!accepted) return failure(accepted.error());
        return Stream(std::move(*accepted));
    }
};

// Opens, binds and listens. errors: the errno of socket(2), setsockopt(2), bind(2) or listen(2)
result<socket_pointer<acceptor>>
listen_on(const socket_kind& kind, const endpoint& at, const listen_options& options);

template <class Stream> class listener;

// The connections of a listener, one after another. While it exists up to 32 of them are accepted ahead of `next`,
// by one multishot accept for all, unless the listener has a limit of connections; those that nobody took are
// closed with the listener.
template <class Stream> class [[nodiscard]] connection_stream : private acceptor::stream {
  public:
    explicit connection_stream(listener<Stream>& from) noexcept
        : acceptor::stream(from.acceptor_.get()) {}

    // As listener::accept.
    accept_operation<Stream> next() noexcept { return accept_operation<Stream>(from_); }
};

// Move-only; destroying it closes it.
template <class Stream> class listener {
  public:
    listener() noexcept = default; // closed

    // Must be called on an executor's thread, by which the listener is served:
    // std::errc::operation_not_permitted otherwise. errors: address in use, permission denied, an address of another
    // kind than the stream's (EAFNOSUPPORT), ...
    static result<listener> bind(const endpoint& at, const listen_options& options = {}) {
        result<socket_pointer<acceptor>> opened = listen_on(Stream::kind, at, options);
        if (!opened) return failure(opened.error());
        listener made;
        made.acceptor_ = std::move(*opened);
        return made;
    }

    // A descriptor that listens becomes a listener of this executor, whose thread must be the caller's (adopt.hpp). Of the
    // options those of accepting count; `socket` and `backlog` are as they were made. A unix socket's path stays when it
    // closes.
    static result<listener> adopt(adoptable given, const listen_options& options = {}) {
        result<socket_pointer<acceptor>> adopted = adopt_acceptor(Stream::kind, given, options);
        if (!adopted) return failure(adopted.error());
        listener made;
        made.acceptor_ = std::move(*adopted);
        return made;
    }

    // The next connection.
    //
    // completes when: there is one; at the limit of connections, and while descriptors or memory are short (EMFILE,
    //                 ENFILE, ENOBUFS, ENOMEM), it waits, and the connection stays in the backlog
    // errors:         errc::closed; errc::busy while another task accepts; errc::cancelled
    // cancellation:   waits for the kernel; a connection that was accepted by then is the result
    // ownership:      the stream is the caller's; one that nobody took is closed
    // thread:         the executor's
    accept_operation<Stream> accept() noexcept { return accept_operation<Stream>(acceptor_.get()); }

    // The same for a server that takes all of them.
    connection_stream<Stream> connections() noexcept { return connection_stream<Stream>(*this); }

    // Stops listening, and completes when the kernel has let go of the descriptor.
    close_operation close() noexcept { return {acceptor_.get(), duration::zero()}; }

    // Gives the descriptor up, which goes on listening: nobody who connects meanwhile is refused. A unix socket keeps its path.
    //
    // completes when: the accept in flight has ended
    // errors:         errc::closed, also for a second release; errc::cancelled before it has begun
    // cancellation:   none: it does not wait long, and the descriptor is the result
    // ownership:      the descriptor is the caller's, and the connections that were accepted and not taken are its streams. A task
    //                 that waits in `accept` gets errc::closed, or the connection that its accept had brought. Destroying the
    //                 operation closes the listener.
    // thread:         the executor's
    listener_release_operation<Stream> release() noexcept {
        return listener_release_operation<Stream>(acceptor_.get());
    }

    bool is_open() const noexcept { return acceptor_ != nullptr && acceptor_->open(); }
    int native_handle() const noexcept { return is_open() ? acceptor_->descriptor() : -1; }
    // Where it listens, with the port that the kernel chose.
    result<endpoint> local() const { return is_open() ? acceptor_->local() : failure(errc::closed); }

  private:
    friend connection_stream<Stream>;

    socket_pointer<acceptor> acceptor_;
};

} // namespace chainring
