#include <chainring/runtime/frame_pool.hpp>

namespace chainring {

constinit frame_pool::block frame_pool::end_of_list_{nullptr, 0};
constinit frame_pool::block frame_pool::closed_list_{nullptr, most_kept};
constinit thread_local frame_pool::state frame_pool::local_{};

namespace {

// Exists from a thread's first frame to its end.
struct trim_at_thread_exit {
    ~trim_at_thread_exit() { frame_pool::trim(); }
};

} // namespace

void* frame_pool::allocate_new(std::size_t size_class, std::size_t size) {
    if (local_.free[0] == &closed_list_) {
        static thread_local trim_at_thread_exit trimmer;
        (void)trimmer;
        std::ranges::fill(local_.free, &end_of_list_);
    }
    void* memory = ::operator new(size_class < classes ? size_of(size_class) : size);
    ++local_.blocks;
    return memory;
}

void frame_pool::release_now(void* memory) noexcept {
    --local_.blocks;
    ::operator delete(memory);
}

std::int64_t frame_pool::live() noexcept {
    std::int64_t live = local_.blocks;
    for (const block* first : local_.free)
        if (first->next != nullptr) live -= first->kept;
    return live;
}

void frame_pool::trim() noexcept {
    for (block*& first : local_.free) {
        while (first->next != nullptr) {
            block* const kept = first;
            first = kept->next;
            release_now(kept);
        }
        first = &closed_list_; // a frame that dies after the thread's own objects goes straight to the heap
    }
}

} // namespace chainring
