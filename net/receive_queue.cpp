#include <chainring/net/receive_queue.hpp>

#include <algorithm>
#include <cstring>

namespace chainring {

result<std::size_t> receive_queue::take_into(buffer_pool& pool, std::span<std::byte> target) noexcept {
    if (count_ == 0 && error_ != 0) return failure(from_errno(error_));
    std::size_t copied = 0;
    while (count_ != 0 && copied < target.size()) {
        const std::size_t rest = pool.size_of(first_) - consumed_;
        const std::size_t size = std::min(rest, target.size() - copied);
        std::memcpy(target.data() + copied, pool.data_of(first_) + consumed_, size);
        copied += size;
        consumed_ += static_cast<std::uint32_t>(size);
        if (size == rest) pool.put_back(pop(pool));
    }
    return copied;
}

result<std::size_t>
receive_queue::take_message_into(buffer_pool& pool, std::span<std::byte> target) noexcept {
    result<buffer> message = take(pool);
    if (!message) return failure(message.error());
    if (message->size() > target.size()) return failure(from_errno(EMSGSIZE));
    if (!message->empty()) std::memcpy(target.data(), message->data(), message->size());
    return message->size();
}

void receive_queue::discard(buffer_pool& pool) noexcept {
    while (count_ != 0) pool.put_back(pop(pool));
    end_ = once_ = false;
    error_ = 0;
}

} // namespace chainring
