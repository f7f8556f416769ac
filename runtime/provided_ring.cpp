#include <chainring/runtime/provided_ring.hpp>

#include <sys/mman.h>

#include <cerrno>

namespace chainring {

provided_ring::provided_ring(std::uint32_t entries)
    : entries_(entries) {
    void* memory = ::mmap(
        nullptr, entries * sizeof(io_uring_buf), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(from_errno(errno), "mapping a ring of buffers");
    memory_ = static_cast<io_uring_buf_ring*>(memory);
}

provided_ring::~provided_ring() {
    ::munmap(memory_, entries_ * sizeof(io_uring_buf));
}

int provided_ring::open(kernel& behind, ring& used_by, std::uint16_t group, unsigned flags) noexcept {
    io_uring_buf_ring_init(memory_);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory_);
    registration.ring_entries = entries_;
    registration.bgid = group;
    registration.flags = static_cast<std::uint16_t>(flags);
    return behind.register_buffer_ring(used_by.native(), registration);
}

void provided_ring::close(kernel& behind, ring& used_by, std::uint16_t group) noexcept {
    behind.unregister_buffer_ring(used_by.native(), group);
}

} // namespace chainring
