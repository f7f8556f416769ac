#include <chainring/runtime/post_memory.hpp>

#include <utility>

namespace chainring {

constinit thread_local post_memory::state post_memory::local_{};

// Exists from a thread's first piece to its end. What is posted after that goes to the heap.
struct post_memory::end_of_thread {
    ~end_of_thread() {
        local_.ended = true;
        chunk* const last = local_.current;
        if (leave_chunk()) ::operator delete(last);
    }
};

bool post_memory::next_chunk() {
    if (local_.ended) return false;
    if (local_.current == nullptr) {
        static thread_local end_of_thread ending;
        (void)ending;
    }
    chunk* const last = local_.current;
    void* const memory = leave_chunk() ? last : ::operator new(chunk_size);
    local_.current = ::new (memory) chunk;
    local_.left = chunk_size - (sizeof(chunk) + unit - 1) / unit * unit;
    return true;
}

bool post_memory::leave_chunk() noexcept {
    chunk* const left = std::exchange(local_.current, nullptr);
    const std::uint32_t cut = std::exchange(local_.cut, 0);
    local_.left = 0;
    if (left == nullptr) return false;
    const std::uint32_t never_cut = chunk::open - cut;
    return left->out_.fetch_sub(never_cut, std::memory_order_acq_rel) == never_cut;
}

} // namespace chainring
