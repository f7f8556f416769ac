// What the virtual sockets have in common: addresses, options, and who is told when there is room.
//
// A call does at once what it can and never waits: -EAGAIN is the answer where Linux would. Whoever wants to wait
// asks `events` for when to call again.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/sim/address.hpp>
#include <chainring/sim/file.hpp>

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace chainring::sim {

struct machine;
class network;

// Has something on its way, of which one thing after another arrives when the world decides so.
class traveller {
  public:
    virtual bool has_arrivals() const noexcept = 0;
    virtual bool may_arrive() const { return true; } // and need not wait for a network that is down
    virtual void arrive() = 0;
    // When something can that may not yet, because of its latency; time_point::max(): nothing.
    virtual time_point next_arrival() const { return time_point::max(); }

  protected:
    ~traveller() = default;
};

class socket : public file, public traveller {
  public:
    socket(network& of, const machine& on, int family, int type);
    ~socket() override;
    socket(const socket&) = delete;
    socket& operator=(const socket&) = delete;

    socket* as_socket() noexcept override { return this; }
    int family() const noexcept { return family_; }
    int type() const noexcept { return type_; }
    bool is_internet() const noexcept { return family_ != AF_UNIX; }
    bool is_stream() const noexcept { return type_ == SOCK_STREAM; }
    const machine& on() const noexcept { return on_; }
    const address& local() const noexcept { return local_; }
    const address& peer_address() const noexcept { return peer_address_; }
    virtual bool connected() const noexcept = 0;
    virtual bool listening() const noexcept { return false; }

    // All return a value >= 0 or a negative errno.
    int bind(const address& at);
    virtual int listen(int backlog);
    // -EAGAIN: the backlog is full.
    virtual int connect(const address& to) = 0;
    // A connect need not wait for the backlog, be it because it fails.
    virtual bool may_connect(const address&) const { return true; }
    // A connect that waited for a full backlog was cancelled; the socket is good for nothing but close.
    virtual void give_up_connect() noexcept {}
    // The first of the backlog, or why there is none.
    virtual int may_accept() const;
    virtual std::shared_ptr<socket> accept();
    virtual int shutdown(int how) = 0;
    // Its machine has lost power: its end is to be heard by nobody.
    virtual void vanish() noexcept {}
    int set_option(int level, int name, const void* value, socklen_t length);
    int get_option(int level, int name, void* value, socklen_t& length);

    // From byte `skip` of the pieces on, `most` at most. A message goes whole or not at all.
    virtual int send(std::span<const iovec> pieces, std::size_t skip, std::size_t most) = 0;
    // Into memory of that size; `most` at most of a byte stream. With MSG_TRUNC the size of the whole message.
    virtual int receive(void* target, std::size_t size, int flags, std::size_t most) = 0;
    virtual std::size_t received() const noexcept = 0; // bytes, of messages those of the first
    // Of datagrams: to somebody else than the peer; and the first one with its sender's address.
    virtual int send_to(std::span<const iovec> pieces, std::size_t most, const address& to);
    struct arrived_message {
        int result = 0; // bytes of the whole message, or a negative errno
        std::size_t copied = 0;
        address from; // none, if its sender has none
    };
    virtual arrived_message receive_message(void* target, std::size_t size, int flags);

    // As poll(2): POLLIN, POLLOUT, POLLERR, POLLHUP, POLLRDHUP.
    virtual unsigned events() const noexcept = 0;
    // Changes whenever Linux would wake who polls for POLLOUT.
    std::uint64_t write_wakes() const noexcept { return write_wakes_; }
    // Somebody polls, and is to be told.
    virtual void expect_room() noexcept { full_ = true; }
    // The sender saw less room than there was: it is told of room, if there still is, by `arrive`.
    void pretend_full();

    bool has_arrivals() const noexcept override { return !told_of_room_; }
    bool may_arrive() const override { return !told_of_room_ || !is_cut_off(); }
    void arrive() override { tell_of_room(); }

  protected:
    network& of() const noexcept { return network_; }
    std::size_t send_buffer() const noexcept { return send_buffer_; }
    std::size_t receive_buffer() const noexcept { return receive_buffer_; }
    void inherit_buffers(const socket& listener) noexcept;
    bool bound() const noexcept { return bound_; }
    bool close_resets() const noexcept { return close_resets_; }
    void let_close_reset() noexcept { close_resets_ = true; }
    void set_local(const address& at) { local_ = at; }
    void set_peer_address(const address& at) { peer_address_ = at; }

    int error() const noexcept { return error_; }
    void set_error(int error) noexcept { error_ = error; }
    int take_error() noexcept;

    bool is_cut_off() const; // from its peer
    bool reaches(const address& to) const;
    duration draw_latency(const address& to) const;

    virtual bool writable() const noexcept = 0;
    bool full() const noexcept { return full_; }
    void set_full(bool full) noexcept { full_ = full; }
    bool told_of_room() const noexcept { return told_of_room_; }
    void tell_of_room();
    void need_not_tell() noexcept { told_of_room_ = true; }
    void state_changed() noexcept { ++write_wakes_; }

  private:
    const address& host() const;

    network& network_;
    const machine& on_;
    int family_;
    int type_;
    address local_;
    address peer_address_;
    std::size_t send_buffer_;
    std::size_t receive_buffer_;
    int error_ = 0; // SO_ERROR
    bool bound_ = false;
    bool close_resets_ = false; // SO_LINGER of zero seconds
    bool full_ = false;         // SOCK_NOSPACE: somebody is to be woken when there is room
    bool told_of_room_ = true;
    std::uint64_t write_wakes_ = 0;
};

// Of a message in pieces.
std::size_t total(std::span<const iovec> pieces) noexcept;
void append(std::string& to, std::span<const iovec> pieces, std::size_t skip, std::size_t count);

} // namespace chainring::sim
