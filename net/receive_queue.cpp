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

fault receive_queue::copy(
    buffer_pool& pool, std::span<const std::byte> bytes, bool is_message, int descriptor,
    time_point when) noexcept {
    if (is_message && bytes.size() > pool.block_size()) return fault::from_errno(EMSGSIZE);
    for (bool empty_message = is_message && bytes.empty(); !bytes.empty() || empty_message;
         empty_message = false) {
        const std::uint16_t block = pool.take();
        if (block == buffer_pool::none) return fault::from_errno(ENOBUFS);
        const std::size_t size = std::min<std::size_t>(bytes.size(), pool.block_size());
        std::copy_n(bytes.begin(), size, pool.memory_of(block).begin());
        bytes = bytes.subspan(size);
        pool.came_from(block, descriptor, when);
        push(pool, block, static_cast<std::uint32_t>(size));
    }
    return {};
}

void receive_queue::discard(buffer_pool& pool) noexcept {
    while (count_ != 0) pool.put_back(pop(pool));
    end_ = once_ = false;
    error_ = 0;
}

} // namespace chainring
