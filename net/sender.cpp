#include <chainring/net/sender.hpp>

#include <poll.h>

#include <algorithm>

namespace chainring {

// Without MSG_WAITALL a short send would count as a success, and the rest would be lost.
constexpr int stream_flags = MSG_WAITALL | MSG_NOSIGNAL;

void sender::submit_batch() noexcept {
    const byte_span only = queue_.form_simple_batch();
    if (only.empty()) [[unlikely]] {
        submit_parts();
        return;
    }
    members_ = 1;
    operation_ = socket_.start(*this, [&](io_uring_sqe& sqe) {
        io_uring_prep_send(&sqe, socket_.descriptor(), only.data(), only.size(), stream_flags);
    });
    count_batch(queue_.messages_in_batch());
}

void sender::submit_parts() noexcept {
    send_part parts[most_parts];
    const unsigned count = queue_.form_batch(
        home_.until_submitted(), std::span(parts).first(std::min(most_parts, home_.longest_chain())));
    if (count == 0) {
        queue_.completed(0, 0, {});
        return;
    }
    members_ = static_cast<std::uint8_t>(count);
    operation_ = socket_.start_chain(*this, count, [&](io_uring_sqe& sqe, unsigned member) {
        const send_part& part = parts[member];
        if (part.several != nullptr)
            io_uring_prep_sendmsg(&sqe, socket_.descriptor(), part.several, stream_flags);
        else
            io_uring_prep_send(
                &sqe, socket_.descriptor(), part.single.data(), part.single.size(), stream_flags);
    });
    count_batch(queue_.messages_in_batch());
}

void sender::count_batch(std::uint32_t messages) noexcept {
    ++home_.counters().batches_sent;
    home_.counters().messages_sent += messages;
}

void sender::submit_chain() noexcept {
    outgoing_message* room[operation_id::most_members];
    // A datagram that waits in the kernel for room at its receiver may be sent empty: Linux 6.18 has read its bytes
    // by then, and reads on behind them. So it never waits there; a poll at the head of the chain does.
    const unsigned polls = poll_first_ ? 1 : 0;
    const int flags = MSG_NOSIGNAL | (framing_ == framing::datagrams ? MSG_DONTWAIT : 0);
    const unsigned longest = home_.longest_chain() - polls;
    const unsigned messages = queue_.form_chain(std::span(room).first(longest));
    if (messages == 0) {
        queue_.chain_completed(0, 0, framing_);
        return;
    }
    members_ = static_cast<std::uint8_t>(polls + messages);
    operation_ = socket_.start_chain(*this, members_, [&](io_uring_sqe& sqe, unsigned member) {
        if (member < polls) {
            io_uring_prep_poll_add(&sqe, socket_.descriptor(), POLLOUT);
            return;
        }
        const outgoing_message& message = *room[member - polls];
        if (message.in_one_piece()) {
            const byte_span bytes = message.bytes();
            io_uring_prep_send(&sqe, socket_.descriptor(), bytes.data(), bytes.size(), flags);
        } else {
            const msghdr* header = queue_.gather(message.pieces(), home_.until_submitted());
            io_uring_prep_sendmsg(&sqe, socket_.descriptor(), header, flags);
        }
    });
    count_batch(messages);
}

void sender::chain_completed(unsigned member, int result) noexcept {
    // Once this side closes, whatever ended the batch is a consequence of that.
    if (state_ == state::closed && result < 0) result = -ECANCELED;
    const bool polled = std::exchange(poll_first_, false);
    if (polled && member == 0) { // the poll was stopped, and nothing was sent
        queue_.chain_completed(0, -ECANCELED, framing_);
        return;
    }
    if (result == -EAGAIN) { // the receiver is full: those that are left go out when it is not
        poll_first_ = true;
        result = -ECANCELED;
    }
    queue_.chain_completed(polled ? member - 1 : member, result, framing_);
}

inline void sender::completed(unsigned part, int result) noexcept {
    if (queue_.is_all(part, result)) [[likely]]
        queue_.completed_whole();
    else if (result >= 0)
        queue_.completed(part, result, cause_of_short());
    else // Once this side closes, whatever ended the batch is a consequence of that.
        queue_.completed(part, state_ == state::closed ? -ECANCELED : result, {});
}

void sender::complete(const io_uring_cqe& cqe) noexcept {
    // EINTR is the answer of an operation that had fallen to a worker thread and was told to end there.
    const int result = cqe.res == -EINTR ? -ECANCELED : cqe.res;
    if (is_stream()) [[likely]] {
        completed(operation_id::member_of(cqe), result);
    } else {
        chain_completed(operation_id::member_of(cqe), result);
    }
    if (state_ == state::closed) [[unlikely]]
        queue_.fail_queued(errc::closed, errc::closed);
    else if (queue_.wants_batch() || state_ == state::draining)
        socket_.ask_for_turn_end();
    if (!writers_.empty() && (queue_.failed() || below_low_water())) release_writers(queue_.failure());
    socket_.operation_ended();
}

void sender::release_writers(fault error) noexcept {
    while (!writers_.empty()) {
        writer& released = writers_.pop_front();
        released.error_ = error;
        home_.ready().push(released);
    }
}

// The errno of a send that moved some bytes is lost; the socket may still know it.
fault sender::cause_of_short() noexcept {
    const auto pending = socket_.get(SOL_SOCKET, SO_ERROR);
    if (pending && *pending != 0) return fault::from_errno(*pending);
    if (state_ == state::closed || queue_.stopping()) return {};
    return errc::broken;
}

void sender::cancel(outgoing_message& message) noexcept {
    if (!queue_.cancel(message)) cancel_batch();
}

void sender::abandon(outgoing_message& message) noexcept {
    if (!queue_.cancel(message)) home_.cancel_and_wait(operation_, members_);
    if (queue_.failed()) home_.behind().shutdown(socket_.descriptor(), SHUT_RDWR);
}

void sender::drain(bool awaited_too) noexcept {
    state_ = state::draining;
    release_writers({}); // what they wrote will be sent
    if (!awaited_too && !queue_.settle_awaited(errc::closed) && !queue_.idle()) close();
}

void sender::close() noexcept {
    state_ = state::closed;
    queue_.fail_queued(errc::closed, errc::closed);
    release_writers(errc::closed);
}

} // namespace chainring
