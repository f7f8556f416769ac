// acceptor: a listening socket's accepts. One at a time for a task that waits, or a multishot accept while a stream
// of connections is wanted.
//
// It never loses the listener and never spins: at its limit of connections it waits for a close to end, and when
// descriptors or memory run out it waits for that or for a while, and the connections wait in the backlog.
#pragma once

#include <chainring/net/connection_count.hpp>
#include <chainring/net/socket.hpp>
#include <chainring/runtime/timer_wheel.hpp>

#include <string>
#include <vector>

namespace chainring {

struct listen_options {
    socket_options socket; // inherited by the accepted connections
    int backlog = 4096;    // connections; the kernel caps it at net.core.somaxconn
    unsigned max_connections =
        0; // open at the same time at most, the others wait in the backlog; 0: no limit
    bool refuse_when_out_of_descriptors = false; // reset connections at once, not leave them in the backlog
    // Accept into direct descriptors (executor_options::direct_descriptors). While all of them are in use
    // connections wait in the backlog. Such a stream has no native_handle(), and what asks the socket for something
    // (addresses, options, shutdown) takes an ordinary descriptor for the rest of the connection's life.
    bool direct_descriptors = false;
    // Others accept from the same socket, by another descriptor of it, and go on when this listener closes (shared_port).
    bool shared = false;
};

struct accepted_connection {
    int descriptor = -1;
    counted_connection counted;
    direct_place place; // of a direct descriptor

    file_handle file() const noexcept { return {descriptor, static_cast<bool>(place)}; }
};

struct accept_stream_tag;

class acceptor final : public socket, private timer, private intake {
  public:
    // While one exists, connections are accepted ahead of the tasks that wait for them.
    class stream : private list_node<accept_stream_tag> {
      public:
        explicit stream(acceptor* from) noexcept;
        stream(const stream&) = delete;
        stream& operator=(const stream&) = delete;
        ~stream();

      protected:
        acceptor* from_; // nullptr: closed

      private:
        friend acceptor;
        template <class T, class Tag> friend class intrusive_list;
    };

    class taker {
      public:
        // A connection that the taker owns from here, or a negative errno in place of its descriptor.
        virtual void accepted(accepted_connection taken) noexcept = 0;

      protected:
        ~taker() = default;
    };

    // `path`: a unix socket's file, removed when the listener closes if it is still this one's.
    // `not_inherited`: what the kernel does not hand down to connections.
    acceptor(
        executor& home, int descriptor, std::string path, const listen_options& options,
        const socket_options& not_inherited);

    // The next connection, if one was accepted already.
    bool may_take() const noexcept { return !ahead_.empty() && taker_ == nullptr; }
    accepted_connection take() noexcept;
    // False: another task waits already.
    bool wait(taker& waiting) noexcept;
    // The task no longer waits; a connection that was accepted for it alone is closed.
    void leave(taker& waiting) noexcept;
    // What a release hands over, when all operations have ended.
    std::vector<accepted_connection> take_ahead() noexcept { return std::move(ahead_); }
    // The task is told when it is certain that nothing was accepted for it.
    void cancel() noexcept;

  private:
    ~acceptor() override = default;

    void completed(const io_uring_cqe& cqe) noexcept override;
    void submit_pending() noexcept override;
    void prepare_release() noexcept override;
    void closing() noexcept override;
    void cancel_in_flight() noexcept override;
    bool is_shared() const noexcept override { return shared_; }
    void fire() noexcept override { ask_for_turn_end(); }
    void stop() noexcept override { close_gracefully(last_messages::buffered, {}); }

    bool wants_more() const noexcept;
    bool at_limit() const noexcept { return limit_ != 0 && *count_ >= limit_; }
    bool has_place() noexcept;
    bool accepting() noexcept { return accept_ && home().in_flight(accept_); }
    void accepted(int descriptor) noexcept;
    void out_of_resources() noexcept;
    // For the connection that is accepted next.
    bool reserve_given_up() const noexcept { return may_refuse_ && reserve_ < 0; }
    bool refuse(int descriptor) noexcept;
    void open_reserve() noexcept;
    void stop_accepting() noexcept;
    void tell(accepted_connection taken) noexcept;
    void tell(int error) noexcept { tell(accepted_connection{error, {}, {}}); }

    std::string path_;
    file_identity file_; // at the path
    socket_options not_inherited_;
    unsigned limit_;                       // of open connections; 0: none
    std::shared_ptr<std::uint32_t> count_; // open connections, if there is a limit
    bool may_refuse_;
    bool direct_;
    bool shared_;
    int reserve_ = -1;       // a descriptor to give up for a connection that is then refused
    bool multishot_ = false; // the accept in flight is one
    bool cancelled_ = false; // the accept in flight was asked to end for its taker's sake
    intrusive_list<stream, accept_stream_tag> streams_;
    operation_id accept_;
    direct_place place_; // for the connection that is accepted next
    taker* taker_ = nullptr;
    std::vector<accepted_connection> ahead_; // accepted and not taken
    duration pause_{};
    std::uint64_t closed_at_pause_ = 0; // descriptors that the executor had closed by then
};

} // namespace chainring
