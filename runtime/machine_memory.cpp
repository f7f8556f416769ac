#include <chainring/runtime/machine_memory.hpp>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace chainring {

namespace {

bool membarrier(int command) noexcept {
    return ::syscall(SYS_membarrier, command, 0, 0) == 0;
}

// As the program begins: with many threads the kernel takes milliseconds for it. Before that it is false.
const bool may_fence_everywhere = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);

} // namespace

void machine_memory::fence_everywhere() noexcept {
    if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) [[likely]]
        return;
    // Somebody else relies on it, and there is nothing that could take its place.
    std::fputs("chainring: membarrier(2) was allowed as the program began, and is refused now\n", stderr);
    std::abort();
}

bool machine_memory::has_fence_everywhere() noexcept {
    return may_fence_everywhere;
}

} // namespace chainring
