// The ways to hand a batch of several messages to the kernel. `benchmarks/send_paths` compares them, and
// docs/design.md has the table.
#pragma once

#include <cstdint>

namespace chainring {

enum class send_path : std::uint8_t {
    gathered, // one vectored send, or a linked chain of them when one is not enough: the default of streams
    chained, // a linked chain of one send for each message: what keeps the boundaries of messages, where there are any
    bundled, // one send of all the buffers in a ring of the connection's own, a page of memory (Linux 6.10)
};

} // namespace chainring
