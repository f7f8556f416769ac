// datagram_socket: what udp_socket and unix_datagram have in common. A socket of datagrams to and from anybody, or one peer,
// with what the kernel says beside each. Move-only; when it is destroyed it closes by itself, after what was written on it has been
// sent or five seconds have passed.
//
// A batch is a linked chain of one SQE for each datagram, so that they leave in the order of the calls. An error is that of
// one datagram (std::errc::message_size, ...); those behind it are sent, and the socket lives on. UDP tells a connected socket that
// nobody was there (connection_refused) at a later send, of which nothing is sent then, or receive, once.
#pragma once

#include <chainring/net/bound_socket.hpp>
#include <chainring/net/datagram_operations.hpp>
#include <chainring/net/datagram_release.hpp>

namespace chainring {

class datagram_socket {
  public:
    datagram_socket() noexcept = default; // closed
    explicit datagram_socket(socket_pointer<bound_socket> opened) noexcept
        : socket_(std::move(opened)) {}

    // The next datagram, in a block of a buffer pool. One multishot receive brings all of them, ahead of its caller; it is
    // stopped when sixteen wait, which are some more then (receive_queue::most_blocks). What finds no room in the socket the kernel
    // drops (control_messages::overflows).
    //
    // completes when: there is one; an empty one too
    // errors:         what became of a datagram that was sent (connection_refused), once; errc::closed; errc::busy while
    //                 another task receives, by this or by receive_into; errc::cancelled. That one was cut off is not an
    //                 error but told by it
    // cancellation:   at once; what arrives later is kept for the next receive
    // ownership:      the datagram is the caller's, with its lease, which may go to another thread, and its descriptors
    // thread:         the executor's
    datagram_receive_operation receive() noexcept { return datagram_receive_operation(receiving()); }

    // The same into the caller's memory: by a receive of its own, which needs no block, for one datagram now and then; or out of its
    // block, within whose limits it is then, while a `receive` before has left the kernel's receive armed.
    //
    // errors:         as of receive
    // cancellation:   waits for the kernel; what was received by then is the result
    // ownership:      `target` is the caller's and must live until completion; destroying the operation waits, and loses what was
    //                 received by then
    datagram_receive_into_operation receive_into(std::span<std::byte> target) noexcept {
        return {receiving(), target};
    }
    // The same as recvmsg(2) does it: the pieces, the address and the control messages go into the memory that `target` names,
    // and msg_namelen, msg_controllen and msg_flags say what came: MSG_TRUNC, MSG_CTRUNC, of a control message that is cut off
    // too. control_messages(target) reads it. The value is the bytes that are in the pieces. The memory for control messages is all that
    // limits them, and not datagram_options::descriptors, unless the kernel's receive is armed. It is cleared at first, and without
    // memory its length is taken for 0.
    //
    // errors:         as of receive. Of a `target` that is none, at once: std::errc::bad_address for pieces without memory,
    //                 message_size for more than IOV_MAX, invalid_argument for lengths that are negative to the kernel
    // cancellation:   as above
    // ownership:      `target` and its memory are the caller's and must live until completion; destroying the operation waits.
    //                 Descriptors that came are the caller's, open and with O_CLOEXEC, in the control messages
    datagram_receive_msghdr_operation receive_into(msghdr& target) noexcept { return {receiving(), target}; }

    // Sends a datagram behind all that was queued before it; to the peer, or to anybody. The value is its bytes.
    //
    // completes when: the whole batch that carried it is complete. A unix socket waits for room at the receiver
    // errors:         of this datagram alone: std::errc::message_size; invalid_argument at once for options that do not fit this
    //                 kind of socket, or a source of another family than the destination's, and for too many segments;
    //                 destination_address_required or not_connected without a peer; connection_refused, of an earlier one on
    //                 UDP; network_unreachable, ...; errc::closed; errc::cancelled
    // cancellation:   a datagram still in the queue leaves it and is not sent; one that is with the kernel is asked to end
    // ownership:      what is moved in belongs to the operation; bytes, text, pieces and descriptors are borrowed. All of it must
    //                 live until completion, and destroying the operation waits for the kernel
    // thread:         the executor's
    datagram_send_operation send(datagram_payload payload, const datagram_send_options& options = {}) {
        return send_to({}, std::move(payload), options);
    }
    datagram_send_operation
    send_to(const endpoint& to, datagram_payload payload, const datagram_send_options& options = {}) {
        return {sending(), std::move(payload), datagram_envelope(to, options, carrying_family_to_peer())};
    }

    // The same, buffered: the datagram goes into the queue, and the first error of such is told by the next flush or close.
    //
    // completes when: at once while the queue is not above its high-water mark; otherwise when it has fallen to the
    //                 low-water mark (set_send_marks)
    // errors:         errc::closed; std::errc::invalid_argument for options that do not fit; errc::cancelled
    // cancellation:   of a writer that waits: a datagram that is still in the queue leaves it, and is not sent
    // ownership:      bytes, text and pieces are copied; the rest moves into the queue. Descriptors must stay open until they
    //                 are sent
    // thread:         the executor's
    datagram_write_operation write(datagram_payload payload, const datagram_send_options& options = {}) {
        return write_to({}, std::move(payload), options);
    }
    datagram_write_operation
    write_to(const endpoint& to, datagram_payload payload, const datagram_send_options& options = {}) {
        return {sending(), std::move(payload), datagram_envelope(to, options, carrying_family_to_peer())};
    }
    // Completes when everything queued before it has been sent, or has failed. errors: as those of send, of the first one
    // that was written since the last flush and failed
    task<result<void>> flush();

    // Where `write` stops and where it goes on. Throws std::bad_alloc.
    void set_send_marks(const send_marks& marks) {
        if (socket_ != nullptr) socket_->sending().set_marks(marks);
    }
    // Bytes that were given to send and write and not taken by the kernel.
    std::size_t unsent() const noexcept { return socket_ != nullptr ? socket_->sending().unsent() : 0; }

    // From here on it sends to `to`, and receives from there only. What came before from others is received still.
    // errors: errc::closed; address_family_not_supported; a unix socket's connection_refused, no_such_file_or_directory, ...
    result<void> set_peer(const endpoint& to) noexcept;
    // It has no peer any more; nor a port, if that was of the kernel's choice, until it sends again.
    result<void> clear_peer() noexcept;

    // Takes nothing new, sends what is queued, then closes, and completes when the kernel has let go of the descriptor.
    //
    // errors:       as those of flush; errc::timed_out when not all was sent within `limit`; errc::closed when another close
    //               came first. The socket is closed all the same.
    // cancellation: what is not sent by then is not sent
    close_operation close(duration limit = std::chrono::seconds(5)) noexcept {
        return {socket_.get(), limit};
    }
    // Takes nothing new, sends what is queued, ends all operations, and gives the descriptor up, open.
    //
    // completes when: all is sent, or `limit` has passed, and the last operation has ended
    // errors:         errc::closed, also while another close or release goes on, and when an abort comes first; errc::cancelled
    //                 before it has begun. That not all was sent is told with the descriptor
    // cancellation:   it waits no longer for what was not sent; the descriptor, and all that belongs to it, is the result
    // ownership:      the descriptor and what belongs to it are the caller's. A task that waits in `receive` gets errc::closed, and
    //                 what it waited for goes with the descriptor; one in `receive_into` what the kernel had given to it. One in
    //                 `send` hears of its datagram, and gets errc::closed if that was not sent. Destroying the operation closes
    //                 the socket as destroying the socket does. A unix socket's path stays
    // thread:         the executor's
    datagram_release_operation release(duration limit = std::chrono::seconds(5)) noexcept {
        return {socket_.get(), limit};
    }
    // Closes at once: what is queued fails.
    void abort() noexcept {
        if (socket_ != nullptr) socket_->abort();
    }

    // Datagrams that this socket had no room for by now; with datagram_options::gro those that would have come as one count
    // as one, so that more are missing than that. errors: errc::closed; no_protocol_option before Linux 4.12
    result<std::uint32_t> overflows() const noexcept;

    bool is_open() const noexcept { return socket_ != nullptr && socket_->open(); }
    int native_handle() const noexcept { return is_open() ? socket_->native_handle() : -1; }
    result<endpoint> local() const { return is_open() ? socket_->local() : failure(errc::closed); }
    result<endpoint> peer() const { return is_open() ? socket_->peer() : failure(errc::closed); }
    // errors: errc::closed; what setsockopt(2) says, as std::errc::no_protocol_option for what this kernel lacks
    result<void> set_option(int level, int name, int value) noexcept {
        return is_open() ? socket_->set(level, name, value) : failure(errc::closed);
    }
    result<int> option(int level, int name) const noexcept {
        return is_open() ? socket_->get(level, name) : failure(errc::closed);
    }

  protected:
    bound_socket* opened() const noexcept { return is_open() ? socket_.get() : nullptr; }
    int family() const noexcept { return socket_ != nullptr ? socket_->family() : AF_UNSPEC; }

  private:
    int carrying_family_to_peer() const noexcept {
        return socket_ != nullptr ? socket_->carrying_family_to_peer() : AF_UNSPEC;
    }
    datagram_receiver* receiving() const noexcept { return socket_ ? &socket_->receiving() : nullptr; }
    sender* sending() const noexcept { return socket_ ? &socket_->sending() : nullptr; }

    socket_pointer<bound_socket> socket_;
};

} // namespace chainring
