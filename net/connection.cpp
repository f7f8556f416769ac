#include <chainring/net/connection.hpp>

namespace chainring {

bool connection::wait(reader& waiting) noexcept {
    if (reader_ != nullptr) return false;
    reader_ = &waiting;
    if (!receiving() && !starved_receiver::linked()) arm_receive();
    return true;
}

bool connection::wait_directly(reader& waiting, std::span<std::byte> target) noexcept {
    if (reader_ != nullptr) return false;
    reader_ = &waiting;
    receives_directly_ = true;
    receive_ = start(receive_directly, [&](io_uring_sqe& sqe) {
        io_uring_prep_recv(&sqe, descriptor(), target.data(), target.size(), 0);
    });
    return true;
}

void connection::arm_receive() noexcept {
    receive_ = start(receive, [this](io_uring_sqe& sqe) {
        io_uring_prep_recv_multishot(&sqe, descriptor(), nullptr, 0, 0);
        sqe.flags |= IOSQE_BUFFER_SELECT;
        sqe.buf_group = buffer_pool::group;
    });
}

void connection::completed(const completion_event& event) noexcept {
    // EINTR is the answer of an operation that had fallen to a worker thread and was told to end there.
    const int result = event.result == -EINTR ? -ECANCELED : event.result;
    switch (event.purpose) {
    case receive: receive_completed(event); break;
    case receive_directly:
        receive_ = {};
        receives_directly_ = false;
        if (result > 0) home().counters().bytes_received += static_cast<std::uint64_t>(result);
        if (reader* waiting = std::exchange(reader_, nullptr))
            waiting->received_directly(result <= 0 && !open() ? -EBADF : result);
        break;
    case send_messages: send_completed(result); break;
    case connecting:
        send_ = {};
        if (connector_ != nullptr) std::exchange(connector_, nullptr)->connected(result);
        break;
    default: break;
    }
}

void connection::receive_completed(const completion_event& event) noexcept {
    buffer_pool& pool = home().buffers();
    if (event.result > 0) home().counters().bytes_received += static_cast<std::uint64_t>(event.result);
    if ((event.flags & IORING_CQE_F_BUFFER) != 0) {
        const std::uint16_t block =
            pool.taken_by_kernel(static_cast<std::uint16_t>(event.flags >> IORING_CQE_BUFFER_SHIFT));
        if (event.result > 0 && open())
            received_.push(pool, block, static_cast<std::uint32_t>(event.result));
        else
            pool.put_back(block);
    }
    // A multishot ends on an error, at the end of the stream, on an empty buffer ring, on a full completion
    // queue, and when it was cancelled: never assume that it goes on.
    if (event.terminal()) {
        receive_ = {};
        receive_ended(event.result);
    } else if (received_.full()) {
        ask_for_turn_end(); // to stop it
    }
    if (received_.has_news() && reader_waits()) tell_reader(false);
}

void connection::receive_ended(int result) noexcept {
    if (!open()) return;
    if (result == 0) {
        received_.push_end();
    } else if (result == -ENOBUFS) {
        ++home().counters().no_buffers;
        // Data stays in the socket. Re-arming before a block has come home would spin.
        if (reader_waits() && received_.empty()) home().buffers().starve(*this);
    } else if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
        received_.push_error(-result);
    } else if (reader_waits() && received_.empty()) {
        ask_for_turn_end(); // to re-arm it
    }
}

void connection::tell_reader(bool closed) noexcept {
    reader_told_ = true;
    reader_->news(closed);
}

bool connection::send(outgoing_message& message) noexcept {
    if (!open() || outgoing_.failed()) return false;
    outgoing_.push(message);
    if (outgoing_.wants_batch()) ask_for_turn_end();
    return true;
}

void connection::submit_pending() noexcept {
    if (outgoing_.wants_batch()) send_batch_now();
    if (receiving()) {
        if (received_.full()) cancel_receive();
    } else if (reader_waits() && !starved_receiver::linked()) {
        arm_receive();
    }
}

void connection::send_batch_now() noexcept {
    const send_batch batch = outgoing_.form_batch(home().until_submitted());
    if (batch.several == nullptr && batch.single.empty()) {
        outgoing_.completed(0, {});
        return;
    }
    // Without MSG_WAITALL a short send would count as a success, and the rest would be lost.
    send_ = start(send_messages, [&](io_uring_sqe& sqe) {
        if (batch.several != nullptr)
            io_uring_prep_sendmsg(&sqe, descriptor(), batch.several, MSG_WAITALL | MSG_NOSIGNAL);
        else
            io_uring_prep_send(
                &sqe, descriptor(), batch.single.data(), batch.single.size(), MSG_WAITALL | MSG_NOSIGNAL);
    });
    ++home().counters().batches_sent;
    home().counters().messages_sent += batch.messages;
}

void connection::send_completed(int result) noexcept {
    send_ = {};
    if (result > 0) home().counters().bytes_sent += static_cast<std::uint64_t>(result);
    fault cause;
    if (outgoing_.short_of_batch(result)) {
        // The errno of a send that moved some bytes is lost; the socket may still know it.
        const auto pending = get(SOL_SOCKET, SO_ERROR);
        if (pending && *pending != 0)
            cause = fault::from_errno(*pending);
        else if (open() && !outgoing_.stopping())
            cause = errc::broken;
    }
    // Once this side closes, whatever ended the batch is a consequence of that.
    outgoing_.completed(!open() && result < 0 ? -ECANCELED : result, cause);
    if (!open())
        outgoing_.fail_queued(errc::closed);
    else if (outgoing_.wants_batch())
        ask_for_turn_end();
}

void connection::cancel_send(outgoing_message& message) noexcept {
    if (!outgoing_.cancel(message)) home().request_cancel(send_);
}

void connection::abandon_send(outgoing_message& message) noexcept {
    if (!outgoing_.cancel(message)) home().cancel_and_wait(send_);
    if (outgoing_.failed()) home().behind().shutdown(descriptor(), SHUT_RDWR);
}

result<void> connection::shutdown(int how) noexcept {
    if (!open()) return failure(errc::closed);
    const int returned = home().behind().shutdown(descriptor(), how);
    if (returned < 0) return failure(from_errno(-returned));
    return {};
}

void connection::connect(const endpoint& to, connector& waiting) noexcept {
    connector_ = &waiting;
    auto* address = ::new (home().until_submitted().take<endpoint>(1).data()) endpoint(to);
    send_ = start(connecting, [&](io_uring_sqe& sqe) {
        io_uring_prep_connect(&sqe, descriptor(), address->address(), address->length());
    });
}

void connection::cancel_in_flight() noexcept {
    home().request_cancel(receive_);
    home().request_cancel(send_);
}

void connection::closing() noexcept {
    starved_receiver::unlink();
    received_.discard(home().buffers());
    outgoing_.fail_queued(errc::closed);
    // A reader or connector whose own operation is in flight hears of its CQE instead.
    if (reader_ != nullptr && !receives_directly_) {
        tell_reader(true);
        leave(*reader_);
    }
}

} // namespace chainring
