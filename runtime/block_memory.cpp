#include <chainring/runtime/block_memory.hpp>
#include <chainring/runtime/error.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace chainring {

namespace {

constexpr std::size_t largest_page = std::size_t{64} * 1024; // of any Linux
constexpr std::size_t step = 4 * largest_page; // usable memory grows by so much, for one system call

std::size_t rounded_up(std::size_t size, std::size_t to) noexcept {
    return (size + to - 1) / to * to;
}

} // namespace

block_memory::block_memory(std::uint32_t block_size, std::uint32_t most_blocks)
    : block_size_(block_size)
    , size_(rounded_up(block_size_ * most_blocks, step)) {
    void* reserved = ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) throw std::system_error(from_errno(errno), "mapping receive buffers");
    memory_ = static_cast<std::byte*>(reserved);
}

block_memory::~block_memory() {
    ::munmap(memory_, size_);
}

bool block_memory::extend(std::uint32_t blocks) noexcept {
    const std::size_t wanted = rounded_up(block_size_ * blocks, step);
    if (wanted <= usable_) return true;
    if (::mprotect(memory_ + usable_, wanted - usable_, PROT_READ | PROT_WRITE) != 0) return false;
    usable_ = wanted;
    return true;
}

void block_memory::forget_from(std::uint32_t block) noexcept {
    const std::size_t begin = std::min(rounded_up(block_size_ * block, largest_page), usable_);
    ::madvise(memory_ + begin, usable_ - begin, MADV_DONTNEED);
}

} // namespace chainring
