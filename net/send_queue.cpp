#include <chainring/net/send_queue.hpp>

#include <algorithm>
#include <new>

namespace chainring {

send_batch send_queue::gather_batch(submission_memory& memory) noexcept {
    batch_bytes_ = 0;
    std::size_t vectors = 0;
    send_batch formed;
    messages_.for_each([&](outgoing_message& message) {
        message.in_batch_ = true;
        ++batched_;
        message.for_each_unsent_piece([&](byte_span piece) {
            formed.single = piece.first(std::min(piece.size(), most_bytes - batch_bytes_));
            batch_bytes_ += static_cast<std::uint32_t>(formed.single.size());
            ++vectors;
            return vectors < most_vectors && batch_bytes_ < most_bytes;
        });
        return vectors < most_vectors && batch_bytes_ < most_bytes;
    });
    formed.messages = batched_;
    if (vectors < 2) return formed;

    auto* header = ::new (memory.take<msghdr>(1).data()) msghdr{};
    header->msg_iov = gather(memory.take<iovec>(vectors));
    header->msg_iovlen = vectors;
    formed.single = {};
    formed.several = header;
    return formed;
}

iovec* send_queue::gather(std::span<iovec> vectors) noexcept {
    std::size_t at = 0;
    std::size_t left = batch_bytes_;
    messages_.for_each([&](outgoing_message& message) {
        message.for_each_unsent_piece([&](byte_span piece) {
            const std::size_t size = std::min(piece.size(), left);
            left -= size;
            ::new (&vectors[at++]) iovec{const_cast<std::byte*>(piece.data()), size};
            return left > 0;
        });
        return left > 0;
    });
    return vectors.data();
}

void send_queue::completed(int result, fault cause_if_short) noexcept {
    fault error;
    if (result < 0 && result != -ECANCELED)
        error = fault::from_result(result);
    else if (result >= 0 && !is_all(result))
        error = cause_if_short;

    bool unsent = false;
    fault broken; // by which error; what is behind the message that had it was never started
    std::size_t moved = result > 0 ? static_cast<std::size_t>(result) : 0;
    messages_.for_each([&](outgoing_message& message) {
        if (batched_ == 0) return false;
        --batched_;
        message.in_batch_ = false;
        const std::size_t rest = message.unsent();
        const std::size_t took = std::min(rest, moved);
        advance(message, took);
        moved -= took;
        if (broken) {
            settle(message, errc::never_started);
        } else if (took == rest && !unsent) {
            settle(message, {});
        } else if (error) {
            broken = error;
            settle(message, error);
        } else if (message.unwanted_) {
            if (message.sent_ != 0) broken = errc::broken;
            settle(message, broken ? errc::broken : errc::cancelled);
        } else {
            unsent =
                true; // longer than a batch, or stopped for another one's sake: it goes first in the next
        }
        return true;
    });
    batch_bytes_ = 0;
    stopping_ = false;
    if (broken) fail_queued(errc::never_started, broken);
}

unsigned send_queue::form_chain(std::span<outgoing_message*> room) noexcept {
    unsigned members = 0;
    messages_.for_each([&](outgoing_message& message) {
        if (!message.is_marker()) {
            if (members == room.size()) return false;
            room[members++] = &message;
        }
        message.in_batch_ = true;
        ++batched_;
        return true;
    });
    return members;
}

const msghdr* send_queue::gather(byte_spans pieces, submission_memory& memory) {
    // More pieces than sendmsg takes are its own error, EMSGSIZE.
    const std::size_t count = std::min(pieces.size(), most_vectors + 1);
    const std::span<iovec> vectors = memory.take<iovec>(count);
    for (std::size_t at = 0; at < count; ++at)
        ::new (&vectors[at]) iovec{const_cast<std::byte*>(pieces[at].data()), pieces[at].size()};
    auto* header = ::new (memory.take<msghdr>(1).data()) msghdr{};
    header->msg_iov = vectors.data();
    header->msg_iovlen = count;
    return header;
}

std::size_t send_queue::chain_completed(unsigned member, int result) noexcept {
    std::size_t moved = 0;
    unsigned place = 0;
    bool stopped = false; // what is still wanted goes first in the next batch
    fault broken;
    messages_.for_each([&](outgoing_message& message) {
        if (batched_ == 0) return false;
        --batched_;
        message.in_batch_ = false;
        if (broken) {
            settle(message, errc::never_started);
            return true;
        }
        if (message.is_marker()) {
            if (!stopped) settle(message, {});
            return true;
        }
        const int size = static_cast<int>(message.size());
        const int outcome = place < member ? size : place == member ? result : -ECANCELED;
        ++place;
        if (outcome == size) {
            moved += message.size();
            advance(message, message.size());
            settle(message, {});
        } else if (outcome == -ECANCELED) {
            stopped = true;
            if (message.unwanted_) settle(message, errc::cancelled);
        } else if (outcome == -EMSGSIZE) {
            stopped = true;
            settle(message, fault::from_result(outcome));
        } else {
            broken = outcome < 0 ? fault::from_result(outcome) : fault(errc::broken);
            settle(message, broken);
        }
        return true;
    });
    stopping_ = false;
    if (broken) fail_queued(errc::never_started, broken);
    return moved;
}

void send_queue::fail_queued(fault error, fault cause) noexcept {
    if (!failure_) failure_ = cause;
    messages_.for_each([this, error](outgoing_message& message) {
        if (!message.in_batch_) settle(message, error);
    });
}

bool send_queue::settle_awaited(fault error) noexcept {
    bool others = false;
    messages_.for_each([&](outgoing_message& message) {
        if (message.is_buffered())
            others = true;
        else if (!message.in_batch_ && message.sent_ == 0)
            settle(message, error);
    });
    return others;
}

bool send_queue::cancel(outgoing_message& message) noexcept {
    if (withdraw(message)) {
        message.settled(errc::cancelled);
        return true;
    }
    if (message.in_batch_) {
        message.unwanted_ = true;
        stopping_ = true;
        return false;
    }
    settle(message, errc::broken); // longer than a batch, and some of it is on the wire: nothing may follow
    fail_queued(errc::never_started, errc::broken);
    return true;
}

bool send_queue::withdraw(outgoing_message& message) noexcept {
    if (message.size() != 0 && (message.in_batch_ || message.sent_ != 0)) return false;
    if (message.in_batch_) --batched_; // an empty one, of which the kernel knows nothing
    take_out(message);
    return true;
}

void send_queue::replace(outgoing_message& message, outgoing_message& replacement) noexcept {
    replacement.bytes_ = message.bytes_;
    replacement.pieces_ = message.pieces_;
    replacement.sent_ = message.sent_;
    replacement.in_batch_ = message.in_batch_;
    replacement.unwanted_ = message.unwanted_;
    list::replace(message, replacement);
}

} // namespace chainring
