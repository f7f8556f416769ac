#include <chainring/sim/drawn_options.hpp>

#include <algorithm>
#include <chrono>
#include <string>

namespace chainring::sim {

executor_options drawn_options(world& from) {
    constexpr unsigned submissions[] = {2, 8, 256};
    constexpr unsigned completions[] = {8, 64, 4096}; // but never less than submissions
    constexpr std::uint32_t blocks[] = {1, 4, 64};
    constexpr std::uint32_t sizes[] = {256, 1024, 4096};
    constexpr unsigned budgets[] = {1, 8, 256};
    constexpr unsigned gathered[] = {1, 2, 16};
    executor_options options;
    options.ring.submission_entries = submissions[from.choose(3, "submission queue")];
    options.ring.completion_entries =
        std::max(options.ring.submission_entries, completions[from.choose(3, "completion queue")]);
    options.buffers.blocks = blocks[from.choose(3, "blocks")];
    options.buffers.block_size = sizes[from.choose(3, "block size")];
    options.direct_descriptors = 1 + from.choose(3, "direct descriptors");
    options.budget = budgets[from.choose(3, "budget")];
    options.ring.gather = {gathered[from.choose(3, "completions to gather")], std::chrono::microseconds(50)};
    from.configured(
        "an executor with submissions=" + std::to_string(options.ring.submission_entries) +
        " completions=" + std::to_string(options.ring.completion_entries) + " blocks=" +
        std::to_string(options.buffers.blocks) + " block_size=" + std::to_string(options.buffers.block_size) +
        " direct_descriptors=" + std::to_string(options.direct_descriptors) + " gather=" +
        std::to_string(options.ring.gather.completions) + " budget=" + std::to_string(options.budget));
    return options;
}

} // namespace chainring::sim
