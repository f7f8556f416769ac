// A virtual socket: TCP over IPv4 or IPv6, or a unix socket of streams or of records.
//
// A call does at once what it can and never waits: -EAGAIN is the answer where Linux would. Whoever wants to wait
// asks `events` for when to call again.
//
// What one end sends lies in the other end's inbound queue. Of TCP it arrives there when the world decides so
// (`arrive`), and the end of the stream and a reset travel on their own; unix sockets are one piece of memory, where
// everything is there at once.
#pragma once

#include <chainring/sim/address.hpp>
#include <chainring/sim/file.hpp>

#include <sys/uio.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <string>

namespace chainring::sim {

class network;

class socket final : public file {
  public:
    socket(network& of, int family, int type);
    ~socket() override;
    socket(const socket&) = delete;
    socket& operator=(const socket&) = delete;

    int family() const noexcept { return family_; }
    int type() const noexcept { return type_; }
    bool is_tcp() const noexcept { return family_ != AF_UNIX; }
    bool is_stream() const noexcept { return type_ == SOCK_STREAM; }
    const address& local() const noexcept { return local_; }
    const address& peer_address() const noexcept { return peer_address_; }
    bool connected() const noexcept { return state_ == state::connected; }

    // All return a value >= 0 or a negative errno.
    int bind(const address& at);
    int listen(int backlog);
    // -EAGAIN: the backlog is full.
    int connect(const address& to);
    // A connect that waited for a full backlog was cancelled; the socket is good for nothing but close.
    void give_up_connect() noexcept { state_ = state::gave_up; }
    // The first of the backlog, or why there is none.
    int may_accept() const;
    std::shared_ptr<socket> accept();
    bool backlog_is_full() const noexcept { return !receiving_ended_ && backlog_.size() >= most_waiting_; }
    int shutdown(int how);
    int set_option(int level, int name, const void* value, socklen_t length);
    int get_option(int level, int name, void* value, socklen_t& length);

    // From byte `skip` of the pieces on, `most` at most. A record goes whole or not at all.
    int send(std::span<const iovec> pieces, std::size_t skip, std::size_t most);
    // Into memory of that size; `most` at most of a byte stream. With MSG_TRUNC the size of the whole record.
    int receive(void* target, std::size_t size, int flags, std::size_t most);
    std::size_t received() const noexcept; // bytes, of a record those of the first

    // As poll(2): POLLIN, POLLOUT, POLLERR, POLLHUP.
    unsigned events() const noexcept;
    // Changes whenever Linux would wake who polls for POLLOUT.
    std::uint64_t write_wakes() const noexcept { return write_wakes_; }
    // Somebody polls, and is to be told.
    void expect_room() noexcept { full_ = true; }
    // The sender saw less room than there was: it is told of room, if there still is, by `arrive`.
    void pretend_full();

    // Something is on its way to this socket, and one thing of it arrives.
    bool has_arrivals() const noexcept;
    void arrive();

  private:
    enum class state { fresh, listening, connected, gave_up };

    // What the other end has sent. Of the bytes the first `arrived` can be received.
    struct inbound {
        std::string bytes;
        std::size_t arrived = 0;
        std::deque<std::string> records;
        std::size_t size_of_records = 0;
        bool end_sent = false;
        bool end_arrived = false;
        bool reset_sent = false;

        std::size_t used() const noexcept { return bytes.size() + size_of_records; }
        std::size_t on_the_way() const noexcept { return bytes.size() - arrived; }
    };

    std::size_t capacity() const noexcept; // of the way to the peer
    std::size_t room() const noexcept;
    bool writable() const noexcept;
    int take_error() noexcept;
    int receive_bytes(void* target, std::size_t size, std::size_t most);
    int receive_record(void* target, std::size_t size, int flags);
    int nothing_to_receive() noexcept;
    void made_room();
    void sent_something(socket& to);
    void state_changed() noexcept { ++write_wakes_; }
    void send_end();
    void send_reset();
    void become_reset();
    void connect_to(socket& server_side, const address& to);
    void close_listener();
    void close_tcp();
    void close_unix();

    network& network_;
    int family_;
    int type_;
    state state_ = state::fresh;
    address local_;
    address peer_address_;
    std::weak_ptr<socket> peer_;
    inbound in_;
    std::deque<std::shared_ptr<socket>> backlog_;
    std::size_t most_waiting_ = 0;
    std::size_t send_buffer_;
    std::size_t receive_buffer_;
    int error_ = 0; // SO_ERROR
    bool bound_ = false;
    bool receiving_ended_ = false; // RCV_SHUTDOWN
    bool sending_ended_ = false;   // SEND_SHUTDOWN
    bool close_resets_ = false;    // SO_LINGER of zero seconds
    bool full_ = false;            // SOCK_NOSPACE: somebody is to be woken when there is room
    bool told_of_room_ = true;
    std::uint64_t write_wakes_ = 0;
};

} // namespace chainring::sim
