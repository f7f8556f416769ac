// stream: a connected byte stream, TCP or unix. Move-only; when it is destroyed the connection closes by
// itself, after what was written on it has been sent or five seconds have passed. tcp_stream and unix_stream add how one is made.
#pragma once

#include <chainring/net/connection.hpp>
#include <chainring/net/release.hpp>
#include <chainring/net/send_operation.hpp>
#include <chainring/net/write_operation.hpp>
#include <chainring/runtime/task.hpp>

#include <concepts>
#include <string_view>

namespace chainring {

class [[nodiscard("co_await it")]] receive_operation : public operation<receive_operation, receiver::reader> {
  public:
    explicit receive_operation(receiver* from) noexcept
        : operation(from) {}
    receive_operation(receive_operation&&) = default;

    bool start(executor&) noexcept {
        if (const fault refused = from_ != nullptr ? from_->admit(*this) : fault(errc::closed)) {
            refuse(refused);
            return false;
        }
        if (from_->may_take()) return from_->lets_others_go_first(*this);
        from_->wait();
        return true;
    }
    void refuse(fault error) noexcept {
        from_ = nullptr;
        error_ = error;
    }
    void cancel() noexcept override;
    // For until_shutdown.
    using stopped_alone = receive_operation;
    bool has_arrived() const noexcept { return from_ != nullptr && from_->has_arrived(); }
    void stop_unless_arrived() noexcept {
        if (from_ != nullptr && !from_->has_arrived()) cancel();
    }
    void describe(task_tree& to) const override { to.waits("receive on", from_->socket_name()); }
    result<buffer> await_resume() noexcept {
        if (error_) [[unlikely]]
            return failure(error_);
        return from_->take(*this);
    }
};

class [[nodiscard("co_await it")]] receive_into_operation
    : public operation<receive_into_operation, receiver::reader> {
  public:
    receive_into_operation(receiver* from, std::span<std::byte> target) noexcept
        : operation(from)
        , target_(target) {}
    receive_into_operation(receive_into_operation&&) = default;
    ~receive_into_operation() {
        if (direct_ && from_ != nullptr) end();
    }

    bool start(executor&) noexcept;
    void refuse(fault error) noexcept {
        from_ = nullptr;
        error_ = error;
    }
    void cancel() noexcept override;
    bool has_arrived() const noexcept { return from_ != nullptr && from_->has_arrived(); }
    void describe(task_tree& to) const override { to.waits("receive on", from_->socket_name()); }
    result<std::size_t> await_resume() noexcept;

  private:
    void received_directly(int result) noexcept override { received_ = result; }
    void receive_again() noexcept override { from_->wait_directly(target_); }
    void end() noexcept;

    std::span<std::byte> target_;
    int received_ = 0;    // bytes, by an operation of its own
    bool direct_ = false; // it has one
};

class stream {
  public:
    stream() noexcept = default; // closed
    explicit stream(socket_pointer<connection> connected) noexcept
        : connection_(std::move(connected)) {}

    // The next bytes, as a lease on the executor's buffer pool; an empty buffer at the end of the stream.
    //
    // completes when: at least one byte is there, or the peer has ended its side
    // errors:         the connection's own (ECONNRESET, ...); errc::closed after close(); errc::broken after a send of
    //                 this side was cut short by its cancellation, which ends the stream; errc::busy while another
    //                 task receives; errc::cancelled
    // cancellation:   at once; bytes that arrive later are kept for the next receive
    // ownership:      the lease is the caller's until it dies; it may go to another thread
    // thread:         the executor's
    receive_operation receive() noexcept { return receive_operation(receiving()); }

    // The same, into the caller's memory; the value is the number of bytes, 0 at the end of the stream and, at once, for
    // an empty target.
    //
    // cancellation:   waits for the kernel; bytes that were received by then are the result
    // ownership:      `target` is the caller's and must live until completion; destroying the operation waits
    receive_into_operation receive_into(std::span<std::byte> target) noexcept {
        return receive_into_operation(receiving(), target);
    }

    // Sends all of the message behind everything queued before it. The value is the number of bytes, all of
    // them.
    //
    // completes when: the whole batch that carried the message is complete
    // errors:         the connection's own (EPIPE, ECONNRESET, ...) for the message that failed, of which the
    //                 operation's `sent()` tells how many bytes went out;
    //                 errc::never_started for those queued behind it; errc::broken for a send after that;
    //                 errc::closed; errc::cancelled
    // cancellation:   a message still in the queue leaves it and nothing of it is sent; one that is with the kernel
    //                 is asked to end, and if part of it is on the wire the stream is broken
    // ownership:      a lease, a string, a vector and a share move into the operation; bytes, text and pieces are
    //                 borrowed, must live until completion, and destroying the operation waits for the kernel
    // thread:         the executor's
    send_operation<buffer> send(buffer&& lease) noexcept { return {sending(), std::move(lease)}; }
    send_operation<byte_span> send(byte_span bytes) noexcept { return {sending(), byte_span(bytes)}; }
    send_operation<byte_span> send(std::string_view text) noexcept {
        return send(std::as_bytes(std::span(text.data(), text.size())));
    }
    send_operation<byte_spans> send(byte_spans pieces) noexcept { return {sending(), byte_spans(pieces)}; }
    send_operation<std::string> send(std::same_as<std::string> auto&& owned) noexcept {
        return {sending(), std::forward<decltype(owned)>(owned)};
    }
    send_operation<std::vector<std::byte>> send(std::same_as<std::vector<std::byte>> auto&& owned) noexcept {
        return {sending(), std::forward<decltype(owned)>(owned)};
    }
    send_operation<shared_message> send(shared_message shared) noexcept {
        return {sending(), std::move(shared)};
    }

    // The same, buffered: the message goes into the queue, and what becomes of it shows at the next write, flush
    // or close.
    //
    // completes when: at once while the queue is not above its high-water mark; otherwise when it has fallen to the
    //                 low-water mark (set_send_marks). A message of any size is taken.
    // errors:         the error that the connection's sending side has failed with; errc::closed; errc::cancelled
    // cancellation:   of a writer that waits: a message that is still whole in the queue leaves it, and nothing of
    //                 it is sent; otherwise the write has succeeded
    // ownership:      bytes, text and pieces are copied, and a lease of less than 2 KiB, whose block goes home; other leases,
    //                 strings, vectors and shares move into the queue
    // thread:         the executor's
    write_operation<buffer> write(buffer&& lease) noexcept { return {sending(), std::move(lease)}; }
    write_operation<byte_span> write(byte_span bytes) noexcept { return {sending(), byte_span(bytes)}; }
    write_operation<byte_span> write(std::string_view text) noexcept {
        return write(std::as_bytes(std::span(text.data(), text.size())));
    }
    write_operation<byte_spans> write(byte_spans pieces) noexcept { return {sending(), byte_spans(pieces)}; }
    write_operation<std::string> write(std::same_as<std::string> auto&& owned) noexcept {
        return {sending(), std::forward<decltype(owned)>(owned)};
    }
    write_operation<std::vector<std::byte>>
    write(std::same_as<std::vector<std::byte>> auto&& owned) noexcept {
        return {sending(), std::forward<decltype(owned)>(owned)};
    }
    write_operation<shared_message> write(shared_message shared) noexcept {
        return {sending(), std::move(shared)};
    }

    // The same for a writer that must not wait: one message for many connections, of which some are slow.
    //
    // errors:         errc::queue_full, and the message is not queued, while the queue is above its high-water mark;
    //                 otherwise as those of write
    result<void> try_write(shared_message shared);

    // Completes when everything queued before it has been sent. errors: as those of write
    task<result<void>> flush();

    // Where `write` stops and where it goes on. Throws std::bad_alloc.
    void set_send_marks(const send_marks& marks) {
        if (connection_ != nullptr) connection_->sending().set_marks(marks);
    }
    // Sends a message of at least that many bytes without copying it, if the message owns them: a lease, a string,
    // a vector or a share. Its sender goes on as soon as the kernel has taken it; the memory is released when the
    // network no longer needs it. 0: never, as at first; less than 1024 counts as 1024. It pays on a network card,
    // from 4 to 16 KiB on; on loopback the kernel copies all the same.
    //
    // errors: std::errc::operation_not_supported on a unix socket; errc::closed
    result<void> set_zero_copy(std::size_t from_bytes) noexcept;
    // How batches of several messages are handed to the kernel. By default the way that measured the fastest: streams
    // gather, and where messages have boundaries only a chain keeps them.
    //
    // errors: std::errc::operation_not_supported for another way than a chain where messages have boundaries, and for
    //         bundles before Linux 6.10, or where the kernel gets them wrong when they are tried (runtime/buffer_trials.hpp);
    //         std::errc::not_enough_memory; errc::closed
    result<void> set_send_path(send_path path);
    // Bytes that were given to send and write and not taken by the kernel.
    std::size_t unsent() const noexcept {
        return connection_ != nullptr ? connection_->sending().unsent() : 0;
    }

    // Half-close: after all that is queued the peer sees the end of the stream; receiving goes on, and what is sent or
    // written from then on is refused with errc::closed. errors: as those of flush
    task<result<void>> shutdown();

    // Takes nothing new, sends what is queued, then closes, and completes when the kernel has let go of the
    // descriptor. A peer that still sends is told of the end, and for up to a second what it sends is thrown away
    // until it ends too: it gets the last message, not a reset.
    //
    // errors:       as those of flush; errc::timed_out when not all was sent within `limit`: the connection was
    //               aborted; errc::closed when another close or abort came first. The stream is closed all the same.
    // cancellation: aborts, unless all was sent
    close_operation close(duration limit = std::chrono::seconds(5)) noexcept {
        return {connection_.get(), limit};
    }

    // Takes nothing new, sends what is queued, ends all operations, and gives the descriptor up, open. The peer notices nothing.
    //
    // completes when: all is sent, or `limit` has passed, or the connection is broken, and the last operation has ended
    // errors:         errc::closed, also while another close or release goes on, and when an abort comes first; errc::cancelled
    //                 before it has begun; for a direct descriptor that of an ordinary one, which it gets (EMFILE, ...): the
    //                 stream goes on then. That not all was sent, or that the connection is broken, is not an error but told
    //                 with the descriptor.
    // cancellation:   it waits no longer for what was not sent; the descriptor, and all that belongs to it, is the result
    // ownership:      the descriptor and what belongs to it are the caller's. A task that waits in `receive` gets errc::closed, and
    //                 what it waited for goes with the descriptor; one in `receive_into` what the kernel had given to it. One in
    //                 `send` hears of its message, and gets errc::closed if that was not sent. Destroying the operation closes
    //                 the stream as destroying the stream does.
    // thread:         the executor's
    release_operation release(duration limit = std::chrono::seconds(5)) noexcept {
        return {connection_.get(), limit};
    }

    // Closes at once: what is queued fails, what the peer has sent is lost, and a TCP peer sees a reset. A unix socket
    // has none: its peer gets what the kernel has, then ECONNRESET if it had sent what was not read, else the end.
    void abort() noexcept {
        if (connection_ != nullptr) connection_->abort();
    }

    bool is_open() const noexcept { return connection_ != nullptr && connection_->open(); }
    // -1 also for a direct descriptor.
    int native_handle() const noexcept { return is_open() ? connection_->native_handle() : -1; }
    result<endpoint> local() const { return is_open() ? connection_->local() : failure(errc::closed); }
    result<endpoint> peer() const { return is_open() ? connection_->peer() : failure(errc::closed); }
    result<void> set_option(int level, int name, int value) noexcept {
        return is_open() ? connection_->set(level, name, value) : failure(errc::closed);
    }
    result<int> option(int level, int name) const noexcept {
        return is_open() ? connection_->get(level, name) : failure(errc::closed);
    }

  protected:
    receiver* receiving() const noexcept { return connection_ ? &connection_->receiving() : nullptr; }
    sender* sending() const noexcept { return connection_ ? &connection_->sending() : nullptr; }

    connection* connected() const noexcept { return is_open() ? connection_.get() : nullptr; }

  private:
    socket_pointer<connection> connection_;
};

} // namespace chainring
