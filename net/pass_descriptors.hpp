// Passing descriptors to another process over unix sockets, streams and records: with the bytes of a message go descriptors, of
// which the receiver gets its own. The sender's stay the sender's.
#pragma once

#include <chainring/net/credentials.hpp>
#include <chainring/net/stream.hpp>

namespace chainring {

class [[nodiscard("co_await it")]] send_fd_operation : public send_waiter {
  public:
    send_fd_operation(sender* to, std::span<const int> descriptors, byte_span bytes);
    send_fd_operation(send_fd_operation&&) = default;
    ~send_fd_operation() {
        if (queued() && !to_->withdraw(*this)) to_->abandon(*this);
    }

    result<std::size_t> await_resume() noexcept { return outcome(); }

  private:
    std::span<std::byte> control() noexcept override { return control_; }

    std::vector<std::byte> control_;
};

struct received_descriptors {
    std::size_t size = 0; // bytes that came; 0 at the end of the stream
    std::vector<owned_descriptor> descriptors;
};

class [[nodiscard("co_await it")]] receive_fd_operation
    : public operation<receive_fd_operation, receiver::reader> {
  public:
    receive_fd_operation(receiver* from, std::span<std::byte> target, unsigned most);
    receive_fd_operation(receive_fd_operation&&) = default;
    ~receive_fd_operation() {
        if (direct_ && from_ != nullptr) end();
    }

    bool start(executor&) noexcept;
    void refuse(fault error) noexcept {
        from_ = nullptr;
        error_ = error;
    }
    void cancel() noexcept override;
    void describe(task_tree& to) const override {
        to.waits("receive of descriptors on", from_->socket_name());
    }
    result<received_descriptors> await_resume();

    // What came all the same, when the result is errc::too_many_descriptors.
    received_descriptors& received() noexcept { return received_; }

  private:
    void received_directly(int result) noexcept override;
    void receive_again() noexcept override { from_->wait_directly(header_); }
    void collect() noexcept;
    void end() noexcept;

    std::span<std::byte> target_;
    std::vector<std::byte> control_;
    iovec memory_{};
    msghdr header_{};
    received_descriptors received_;
    bool direct_ = false; // it has an operation of its own
};

// What unix sockets that connect have besides the operations of any stream.
class local_stream : public stream {
  public:
    using stream::stream;

    // Sends bytes, at least one, and with them descriptors, behind everything queued before: whoever receives the first byte with
    // receive_fd gets descriptors of its own. On a stream they go by themselves, and on a socket of records they are one.
    //
    // completes when: the kernel has them
    // errors:         as those of send; errc::empty_message without bytes. Of this message alone: std::errc::bad_file_descriptor for
    //                 one that is closed, std::errc::invalid_argument for more than 253, ETOOMANYREFS when too many are on their
    //                 way
    // cancellation:   as that of send. If any byte was sent, the descriptors were
    // ownership:      bytes and descriptors are borrowed: they stay until completion, and destroying the operation waits for
    //                 the kernel
    // thread:         the executor's
    send_fd_operation send_fd(std::span<const int> descriptors, byte_span bytes) {
        return {sending(), descriptors, bytes};
    }
    send_fd_operation send_fd(int descriptor, byte_span bytes) {
        return send_fd(std::span(&descriptor, 1), bytes);
    }
    send_fd_operation send_fd(int descriptor, std::string_view text) {
        return send_fd(descriptor, std::as_bytes(std::span(text.data(), text.size())));
    }

    // Receives bytes into the caller's memory, and up to `most` descriptors that come with them, which are close-on-exec. On a
    // stream what follows bytes with descriptors is for the next receive; bytes may come without any.
    //
    // A plain receive takes only the bytes, and the kernel closes what came with them. `receive` also goes on ahead of its
    // caller, so that it must not come before receive_fd on the same connection, whatever has become of it
    // (errc::receives_ahead, and what is there stays for `receive`); `receive_into` may.
    //
    // completes when: at least one byte is there, or the peer has ended its side
    // errors:         as those of receive_into; errc::too_many_descriptors: the surplus is closed, and the operation has the rest and
    //                 the size (`received()`), as when the process has no room for more (EMFILE); errc::receives_ahead
    // cancellation:   waits for the kernel; what was received by then is the result
    // ownership:      `target` is the caller's and must live until completion; destroying the operation waits, and closes what
    //                 it received. The descriptors close unless they are taken
    // thread:         the executor's
    receive_fd_operation receive_fd(std::span<std::byte> target, unsigned most = 1) {
        return {receiving(), target, most};
    }

    // Of the process that connected, or listened, when it did. errors: errc::closed, and those of getsockopt(2)
    result<credentials> peer_credentials() const noexcept;
};

} // namespace chainring
