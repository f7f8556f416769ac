#include <chainring/net/receive_queue.hpp>

#include <algorithm>
#include <cstring>

namespace chainring {

void receive_queue::push(buffer_pool& pool, std::uint16_t block, std::uint32_t size) noexcept {
    pool.size_of(block) = size;
    if (count_ == 0)
        first_ = block;
    else
        pool.next_of(last_) = block;
    last_ = block;
    ++count_;
}

std::uint16_t receive_queue::pop(buffer_pool& pool) noexcept {
    const std::uint16_t block = first_;
    first_ = pool.next_of(block);
    --count_;
    consumed_ = 0;
    return block;
}

result<buffer> receive_queue::take(buffer_pool& pool) noexcept {
    if (count_ != 0) {
        const std::uint32_t offset = consumed_;
        const std::uint16_t block = pop(pool);
        return pool.lease(block, offset, pool.size_of(block) - offset);
    }
    if (error_ != 0) return failure(from_errno(error_));
    return buffer();
}

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

void receive_queue::discard(buffer_pool& pool) noexcept {
    while (count_ != 0) pool.put_back(pop(pool));
}

} // namespace chainring
