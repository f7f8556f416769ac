#include "huge_pages.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace redis {

namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20U;

class of_huge_pages final : public std::pmr::memory_resource {
    static bool has_own(std::size_t bytes) { return bytes >= huge_page / 2; }

    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (!has_own(bytes)) return std::pmr::new_delete_resource()->allocate(bytes, alignment);
        const std::size_t size = (bytes + huge_page - 1) / huge_page * huge_page;
        void* const memory = std::aligned_alloc(huge_page, size);
        if (memory == nullptr) throw std::bad_alloc();
        ::madvise(memory, size, MADV_HUGEPAGE); // a wish: without it the memory is as good, and slower
        return memory;
    }
    void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
        if (!has_own(bytes)) return std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
        std::free(memory);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

} // namespace

std::pmr::memory_resource& huge_pages() {
    static of_huge_pages all;
    return all;
}

} // namespace redis
