// Adopting: a descriptor that another loop, thread or process has made becomes a stream's or a listener's.
//
// What is adopted is looked at first, and a descriptor that cannot be adopted stays the caller's, as it was. From an
// adopted one on:
//   - nobody else may use it, or another descriptor of the same socket: another loop stops watching it first
//   - it is close-on-exec, as all of chainring's are. Nothing else is changed: no option of the socket (TCP_NODELAY is as
//     it was), and not O_NONBLOCK, which makes no difference to the ring's operations
#pragma once

#include <chainring/net/acceptor.hpp>
#include <chainring/net/connection.hpp>
#include <chainring/runtime/owned_descriptor.hpp>

#include <memory>

namespace chainring {

// What to adopt: a descriptor that is the caller's, or one that somebody was left with. Once it is adopted it belongs to
// the stream or the listener, and an owned_descriptor is empty.
class adoptable {
  public:
    adoptable(int descriptor) noexcept
        : number_(descriptor) {}
    adoptable(owned_descriptor&& owned) noexcept
        : number_(owned.get())
        , owner_(&owned) {}

    int descriptor() const noexcept { return number_; }
    void taken() noexcept {
        if (owner_ != nullptr) owner_->take();
    }

  private:
    int number_;
    owned_descriptor* owner_ = nullptr;
};

// `received`: what the other side has read already, in order. It is what the first receives yield, before anything that
// the kernel still has. Where messages have boundaries each piece is one of them. It is copied, into blocks of the
// executor's pool.
//
// errors: std::errc::operation_not_permitted outside of an executor's task
//         std::errc::bad_file_descriptor for one that is closed, std::errc::not_a_socket
//         errc::already_owned when it belongs to a stream or a listener of this executor
//         std::errc::wrong_protocol_type, std::errc::address_family_not_supported for another kind of socket
//         errc::is_listening for a listener that should be a stream
//         std::errc::not_connected, also for a connection that was reset, or that has ended in both directions
//         std::errc::no_buffer_space when the pool has no room for what was received, std::errc::message_size for a
//         message that is longer than a block, errc::empty_message for an empty record
result<socket_pointer<connection>>
adopt_connection(const socket_kind& kind, adoptable given, byte_spans received);

// The family of a descriptor that a socket of datagrams may take over, with a peer or without.
// errors: the first four as above, but for the first of them
result<int> adoptable_family(executor& home, const socket_kind& kind, int descriptor);

// errors: the first four as above; errc::not_listening; std::errc::operation_not_supported for direct descriptors that the
//         executor does not have; errc::cancelled once a shutdown has begun
result<socket_pointer<acceptor>>
adopt_acceptor(const socket_kind& kind, adoptable given, const listen_options& options);

// A Stream's `adopt`.
template <class Stream> result<Stream> adopt_stream(adoptable given, byte_spans received) {
    result<socket_pointer<connection>> adopted = adopt_connection(Stream::kind, given, received);
    if (!adopted) return failure(adopted.error());
    return Stream(std::move(*adopted));
}

} // namespace chainring
