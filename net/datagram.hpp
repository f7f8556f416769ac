// connected_datagram: UDP or unix datagrams to and from one peer. Each send or write is one datagram; each receive
// yields one, whole.
//
// A batch is a linked chain of one SQE for each datagram, so that they leave in the order of the calls. What differs
// from a stream:
//   - there is no end: an empty buffer is an empty datagram
//   - an error is that of one message (std::errc::message_size, connection_refused, ...); those behind it are sent.
//     The first error of buffered ones is told by the next flush or close. UDP tells of a peer that is not there at
//     a later send or receive
//   - a datagram in more than 1024 pieces (IOV_MAX) is too long, as for sendmsg(2), whatever its size
//   - a datagram longer than a receive buffer (buffer_options::block_size), or than the memory given to receive_into,
//     is lost to the receiver, who gets std::errc::message_size
//   - nothing lingers: what was sent is on its way, and close waits for nothing else
#pragma once

#include <chainring/net/adopt.hpp>
#include <chainring/net/connect.hpp>

namespace chainring {

class connected_datagram : public stream {
  public:
    static constexpr socket_kind kind{.type = SOCK_DGRAM, .internet = true, .local = true};

    using stream::stream;

    // `from`: the address to bind to. Without one UDP gets a port of the kernel's choice, and a unix socket no
    // address to which its peer could answer. A unix path stays when the socket closes.
    static connect_operation<connected_datagram>
    connect(const endpoint& to, const endpoint& from = {}, const socket_options& options = {}) noexcept {
        return {to, from, options};
    }

    // A connected descriptor becomes a stream of this executor, whose thread must be the caller's (adopt.hpp).
    static result<connected_datagram> adopt(adoptable given, byte_spans received = {}) {
        return adopt_stream<connected_datagram>(given, received);
    }
};

} // namespace chainring
