// How many connections of a listener are open, counted until the kernel has let go of each descriptor.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace chainring {

// One connection's share of the count, which outlives the listener.
class counted_connection {
  public:
    counted_connection() noexcept = default; // counts nothing
    explicit counted_connection(std::shared_ptr<std::uint32_t> count) noexcept
        : count_(std::move(count)) {
        ++*count_;
    }
    counted_connection(counted_connection&&) noexcept = default;
    counted_connection& operator=(counted_connection&& other) noexcept {
        end();
        count_ = std::move(other.count_);
        return *this;
    }
    ~counted_connection() { end(); }

    void end() noexcept {
        if (count_ == nullptr) return;
        --*count_;
        count_.reset();
    }

  private:
    std::shared_ptr<std::uint32_t> count_;
};

} // namespace chainring
