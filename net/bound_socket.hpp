// bound_socket: a datagram socket's state, which outlives the handle that users hold until the close is complete.
#pragma once

#include <chainring/net/adopt.hpp>
#include <chainring/net/datagram_receiver.hpp>
#include <chainring/net/sender.hpp>

#include <string>

namespace chainring {

// What is asked of a datagram socket when it is made.
struct datagram_options {
    socket_options socket{}; // reuse_port, send_buffer, receive_buffer

    // What to be told beside each datagram (control_messages): a few bytes of a buffer for each, and nothing else.
    bool packet_info = false;   // UDP: where it was sent to, and where it came in
    bool traffic_class = false; // UDP: with ECN
    bool timestamps = false;    // when the kernel had it
    // UDP: when the network card did, if that tells; who sets cards up is not chainring.
    bool hardware_timestamps = false;
    bool overflows = false;   // UDP: how many found no room; with `gro` those that come as one count as one
    bool credentials = false; // of senders on unix sockets
    // That may come with one on a unix socket, 253 at most; others are closed. Who receives into a msghdr asks by its control memory.
    unsigned descriptors = 0;

    // UDP: datagrams of one sender that come in a row are received as one (control_messages::segment_size).
    bool gro = false;
    bool broadcast = false; // UDP: may be sent

    // Bytes of a datagram for which there must be room, 65,535 at most, or 16 MiB on unix sockets. A socket that needs longer
    // blocks for it than the executor's pool has gets a pool of its own. What is longer than its block is cut off
    // (datagram::truncated); there may be more room than was asked for. 0: 65,535 with `gro`, otherwise 1500.
    std::uint32_t longest = 0;
    std::uint32_t blocks = 32; // of a pool of its own, at first: 1 to 32,768
};

class bound_socket final : public socket {
  public:
    // A socket of its executor's thread, or why there is none. `at`: of no family, it is not bound. `to`: of no family, it
    // is not connected.
    //
    // errors: std::errc::invalid_argument for options that do not fit the kind of socket, or are out of bounds
    static result<socket_pointer<bound_socket>>
    make(const socket_kind& kind, const endpoint& at, const endpoint& to, const datagram_options& options);
    // The same over a descriptor that somebody else has made (adopt.hpp). What `options` ask for is set on it, and nothing is taken
    // back; where it fails the descriptor stays the caller's.
    //
    // errors: as make; the first four of adopt_connection; those of setsockopt(2), and those of a pool of its own
    static result<socket_pointer<bound_socket>>
    adopt(const socket_kind& kind, adoptable given, const datagram_options& options);

    datagram_receiver& receiving() noexcept { return receiver_; }
    sender& sending() noexcept { return sender_; }
    int family() const noexcept { return family_; }
    // By which datagrams to its peer go: IPv4 also from a socket for IPv6, to a peer with such an address.
    int carrying_family_to_peer() const noexcept { return family_to_peer_; }

    result<void> connect(const endpoint& to) noexcept;
    result<void> set(int level, int name, const void* value, socklen_t size) noexcept;
    using socket::set;
    // For whom its descriptor was released to: why not all was sent, or what became of a datagram before.
    fault release_error() const noexcept;

  private:
    enum class maker : bool { itself, somebody_else };

    // What a socket is made of beside its descriptor.
    struct parts {
        int family;
        datagram_layout layout;
        buffer_pool* own_pool = nullptr; // if it has one
        descriptors_allowed descriptors;
    };
    static result<parts> parts_for(executor& home, int family, const datagram_options& options);

    bound_socket(executor& home, int descriptor, const parts& of, maker made_by, std::string path);
    ~bound_socket() override = default;

    // Of no family: it has none.
    void note_peer(const endpoint& peer) noexcept;

    void completed(const io_uring_cqe&) noexcept override {}
    void submit_pending() noexcept override {
        sender_.at_turn_end();
        receiver_.at_turn_end();
    }
    void drain(last_messages sent) noexcept override {
        receiver_.close(errc::closed);
        sender_.drain(sent == last_messages::all);
    }
    bool drained() noexcept override { return sender_.drained(); }
    fault drain_failure() noexcept override { return sender_.take_loss(); }
    void prepare_release() noexcept override {
        receiver_.stop(errc::closed);
        sender_.drain(true);
    }
    // Who has passed it on may keep it, as a service manager does, and shutdown(2) would end it for him too.
    bool is_shared() const noexcept override { return made_by_ == maker::somebody_else; }
    void closing() noexcept override;
    void cancel_in_flight() noexcept override {
        receiver_.cancel();
        sender_.cancel_in_flight();
    }
    void let_go() noexcept override;
    bool consistent() const noexcept override { return sender_.consistent(); }
    void count_queued(holdings& total) const noexcept override {
        sender_.count(total);
        receiver_.count(total);
    }

    int family_;
    int family_to_peer_;
    maker made_by_;
    std::string path_;   // of a unix socket's file, to be removed
    file_identity file_; // at the path
    buffer_pool* own_pool_;
    datagram_receiver receiver_;
    sender sender_;
};

} // namespace chainring
