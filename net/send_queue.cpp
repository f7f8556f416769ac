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
        const std::span rest = message.bytes_.subspan(message.sent_);
        if (!rest.empty()) {
            formed.single = rest.first(std::min(rest.size(), most_bytes - batch_bytes_));
            batch_bytes_ += static_cast<std::uint32_t>(formed.single.size());
            ++vectors;
        }
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
        const std::span rest = message.bytes_.subspan(message.sent_);
        if (rest.empty()) return true;
        const std::size_t size = std::min(rest.size(), left);
        left -= size;
        ::new (&vectors[at++]) iovec{const_cast<std::byte*>(rest.data()), size};
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
    bool broken = false;
    std::size_t moved = result > 0 ? static_cast<std::size_t>(result) : 0;
    messages_.for_each([&](outgoing_message& message) {
        if (batched_ == 0) return false;
        --batched_;
        message.in_batch_ = false;
        const std::size_t rest = message.bytes_.size() - message.sent_;
        const std::size_t took = std::min(rest, moved);
        message.sent_ += took;
        moved -= took;
        if (broken) {
            settle(message, errc::never_started);
        } else if (took == rest && !unsent) {
            settle(message, {});
        } else if (error) {
            broken = true; // this is the message that failed; those behind it were never started
            settle(message, error);
        } else if (message.unwanted_) {
            broken = message.sent_ != 0;
            settle(message, broken ? errc::broken : errc::cancelled);
        } else {
            unsent = true; // longer than a batch, or stopped for another one's sake: its rest goes first in
                           // the next
        }
        return true;
    });
    batch_bytes_ = 0;
    stopping_ = false;
    if (broken) fail_queued(errc::never_started);
}

void send_queue::fail_queued(fault error) noexcept {
    failed_ = true;
    messages_.for_each([error](outgoing_message& message) {
        if (!message.in_batch_) settle(message, error);
    });
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
    fail_queued(errc::never_started);
    return true;
}

bool send_queue::withdraw(outgoing_message& message) noexcept {
    if (!message.bytes_.empty() && (message.in_batch_ || message.sent_ != 0)) return false;
    if (message.in_batch_) --batched_; // an empty one, of which the kernel knows nothing
    message.unlink();
    return true;
}

void send_queue::replace(outgoing_message& message, outgoing_message& replacement) noexcept {
    replacement.bytes_ = message.bytes_;
    replacement.sent_ = message.sent_;
    replacement.in_batch_ = message.in_batch_;
    replacement.unwanted_ = message.unwanted_;
    list::replace(message, replacement);
}

} // namespace chainring
