// What this kernel does with buffers that it takes from a ring by itself where it takes several at once (bundles), or fills one by
// several receives (incremental). Kernels got that wrong: bytes out of order, or from where there are none (L#1409, L#1423, L#1433,
// L#1619). No version tells, as distributions backport, so it is tried, on sockets that nobody else has.
#pragma once

#include <chainring/runtime/kernel.hpp>

#include <span>
#include <string_view>

namespace chainring {

enum class trial_outcome {
    right,
    wrong,     // what buffer_trial::wrong says
    not_there, // in this kernel
    not_tried, // there was no memory for a ring, or no loopback
};
std::string_view to_string(trial_outcome outcome) noexcept;

struct buffer_trial {
    std::string_view name;
    std::string_view wrong;
    std::string_view used; // by chainring: for what, or that it is not
    // Opens a ring and some sockets, and closes them; less than a millisecond. Any thread.
    trial_outcome (*run)(kernel& behind) noexcept;
};
std::span<const buffer_trial> buffer_trials() noexcept;

trial_outcome try_send_bundle(kernel& behind) noexcept;
trial_outcome try_receive_bundle(kernel& behind) noexcept;
trial_outcome try_incremental_stream(kernel& behind) noexcept;
trial_outcome try_incremental_datagrams(kernel& behind) noexcept;

} // namespace chainring
