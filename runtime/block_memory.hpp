// The memory behind a buffer pool: address space for every block that there may ever be, of which a beginning
// is usable. What is not usable costs nothing but addresses; what nobody has touched costs no memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace chainring {

class block_memory {
  public:
    // Throws std::system_error if there are not as many addresses. Nothing is usable yet.
    block_memory(std::uint32_t block_size, std::uint32_t most_blocks);
    ~block_memory();
    block_memory(const block_memory&) = delete;
    block_memory& operator=(const block_memory&) = delete;

    std::byte* block(std::uint32_t number) const noexcept {
        return memory_ + std::size_t{number} * block_size_;
    }

    // Makes the first `blocks` blocks usable. False: there is no memory for them.
    [[nodiscard]] bool extend(std::uint32_t blocks) noexcept;
    // What the blocks from this one on hold is lost, and takes no memory until they are used again.
    void forget_from(std::uint32_t block) noexcept;

  private:
    std::size_t block_size_;
    std::size_t size_;
    std::size_t usable_ = 0;
    std::byte* memory_;
};

} // namespace chainring
