// What a descriptor stands for. A closed file lives on while operations in flight hold it, as in Linux.
#pragma once

#include <cstdint>
#include <memory>

namespace chainring::sim {

class file : public std::enable_shared_from_this<file> {
  public:
    virtual ~file() = default;
};

class event_file final : public file {
  public:
    std::uint64_t count = 0;
};

} // namespace chainring::sim
