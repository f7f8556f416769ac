// What is received and read by nobody, for the tests of its bounds.
#pragma once

#include <chainring/net/receive_queue.hpp>

namespace chainring::test {

// Blocks that wait in queues, or are leased.
inline std::uint32_t blocks_held(const buffer_pool& pool) {
    return pool.blocks() - pool.provided() - pool.free();
}

// Of one socket, as long as nobody has found the pool empty (receive_queue.hpp).
inline std::uint32_t most_blocks_held(task_work_mode mode) {
    const std::uint32_t offers = mode == task_work_mode::throughput ? 1 : 2;
    return receive_queue::most_blocks - 1 + offers * buffer_pool::offered_at_first(mode);
}

} // namespace chainring::test
