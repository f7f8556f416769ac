// seqpacket_stream and seqpacket_listener: unix sockets that carry records. Each send or write is one record; each
// receive yields one, whole.
//
// A batch is a linked chain of one SQE for each record, so that records arrive in the order of the calls also when
// the peer is slow. What differs from a stream:
//   - an empty record is refused (errc::empty_message): its receiver would take it for the end
//   - a record that the socket cannot hold fails alone, with std::errc::message_size; those behind it are sent. So
//     does one in more than 1024 pieces (IOV_MAX), whatever its size. A written one fails the connection, which
//     tells of it at the next write, flush or close
//   - a record longer than a receive buffer (buffer_options::block_size), or than the memory given to receive_into,
//     is lost to the receiver, who gets std::errc::message_size; the connection goes on
#pragma once

#include <chainring/net/adopt.hpp>
#include <chainring/net/connect.hpp>
#include <chainring/net/listener.hpp>
#include <chainring/net/pass_descriptors.hpp>

namespace chainring {

class seqpacket_stream : public local_stream {
  public:
    static constexpr socket_kind kind{.type = SOCK_SEQPACKET, .local = true};

    using local_stream::local_stream;

    static connect_operation<seqpacket_stream>
    connect(const endpoint& to, const socket_options& options = {}) noexcept {
        return {to, options};
    }

    // A connected descriptor becomes a stream of this executor, whose thread must be the caller's (adopt.hpp).
    static result<seqpacket_stream> adopt(adoptable given, byte_spans received = {}) {
        return adopt_stream<seqpacket_stream>(given, received);
    }
};

using seqpacket_listener = listener<seqpacket_stream>;

} // namespace chainring
