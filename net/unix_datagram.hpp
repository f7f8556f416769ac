// unix_datagram: datagrams between processes of one machine. None gets lost, and they arrive in order: a sender waits for room
// at the receiver. Descriptors may go along, and the kernel says whose process has sent one.
//
// All that a socket sends waits while one receiver is full, whomever it is for: who sends to several that may stop reading has
// a socket for each. Connect it: the kernel tells when there is room at a peer, but not at others, where the batch, of up to 64
// datagrams, is tried again every 16 ms as long as the receiver does not read.
//
// A peer that has closed is told once, by connection_refused. From then on there is none, and a send says not_connected until
// set_peer.
#pragma once

#include <chainring/net/datagram_socket.hpp>

namespace chainring {

class unix_datagram : public datagram_socket {
  public:
    static constexpr socket_kind kind{.type = SOCK_DGRAM, .local = true};

    using datagram_socket::datagram_socket;

    // At a path, which goes when the socket closes, or at an abstract name. As udp_socket::bind; the path of a program that
    // was killed stays, and until it is removed the address is in use.
    static result<unix_datagram> bind(const endpoint& at, const datagram_options& options = {});
    // With a peer. Without an address of its own (`from`) nobody can answer.
    static result<unix_datagram>
    connect(const endpoint& to, const endpoint& from = {}, const datagram_options& options = {});
    // A descriptor that another loop, thread or process has made, with a peer or without (adopt.hpp). What `options` ask for is set
    // on it; that it cannot be had leaves the descriptor to the caller.
    static result<unix_datagram> adopt(adoptable given, const datagram_options& options = {});
};

} // namespace chainring
