// A send queue with no socket behind it: the test plays the connection and the kernel.
#pragma once

#include "sockets.hpp"

#include <deque>

namespace chainring::test {

class message final : public outgoing_message {
  public:
    explicit message(std::string_view text)
        : outgoing_message(std::as_bytes(std::span(text.data(), text.size()))) {}

    void settled(fault error) noexcept override {
        ++times;
        outcome = error.code();
    }
    bool confirmed() const { return times == 1 && !outcome; }
    bool failed_with(fault error) const { return times == 1 && outcome == error.code(); }
    bool waits() const { return times == 0; }

    int times = 0;
    std::error_code outcome;
};

struct queue_fixture {
    submission_memory memory;
    std::deque<message> messages;
    statistics counters;
    send_queue queue{counters};

    message& push(std::string_view text) {
        queue.push(messages.emplace_back(text));
        return messages.back();
    }
    // Completes a chain and tells how many bytes of it were sent.
    std::uint64_t bytes_of_chain(unsigned member, int result) {
        const std::uint64_t before = counters.bytes_sent;
        queue.chain_completed(member, result, framing::records);
        return counters.bytes_sent - before;
    }
    // A batch of one part.
    send_part form() {
        send_part part;
        queue.form_batch(memory, {&part, 1});
        return part;
    }
};

inline std::string text_of(const send_part& batch) {
    std::string all(reinterpret_cast<const char*>(batch.single.data()), batch.single.size());
    if (batch.several != nullptr) {
        for (std::size_t at = 0; at < batch.several->msg_iovlen; ++at) {
            const iovec& part = batch.several->msg_iov[at];
            all.append(static_cast<const char*>(part.iov_base), part.iov_len);
        }
    }
    return all;
}

inline constexpr fault pipe_error = fault::from_errno(EPIPE);
inline constexpr fault reset_error = fault::from_errno(ECONNRESET);
inline constexpr std::size_t batch_limit = std::size_t{128} * 1024;

} // namespace chainring::test
