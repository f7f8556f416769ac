// What a descriptor stands for. A closed file lives on while operations in flight hold it, as in Linux.
#pragma once

#include <cstdint>
#include <memory>

namespace chainring::sim {

class event_file;
class socket;

class file : public std::enable_shared_from_this<file> {
  public:
    virtual ~file() = default;
    // What it is; a dynamic_cast for each look at what an operation waits for takes a quarter of a simulation's time.
    virtual event_file* as_event() noexcept { return nullptr; }
    virtual socket* as_socket() noexcept { return nullptr; }
};

class event_file final : public file {
  public:
    event_file* as_event() noexcept override { return this; }

    void signal() noexcept {
        ++count;
        ++wakes;
    }

    std::uint64_t count = 0;
    std::uint64_t wakes = 0; // signals ever, which edge-triggered polls see
};

} // namespace chainring::sim
