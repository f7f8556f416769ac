// An atomic word that costs no more than an ordinary one as long as the process has a single thread, as a program with one
// executor has.
#pragma once

#include <chainring/sync/single_threaded.hpp>

#include <atomic>

namespace chainring::detail {

// Not for signal handlers.
template <class T> class lone_atomic {
  public:
    explicit lone_atomic(T value) noexcept
        : value_(value) {}

    T load(std::memory_order order) const noexcept { return value_.load(order); }
    void store(T value, std::memory_order order) noexcept { value_.store(value, order); }

    T fetch_or(T bits, std::memory_order order) noexcept { return value_.fetch_or(bits, order); }

    bool compare_exchange_weak(
        T& expected, T desired, std::memory_order success, std::memory_order failure) noexcept {
        if (!single_threaded()) return value_.compare_exchange_weak(expected, desired, success, failure);
        const T seen = value_.load(std::memory_order_relaxed);
        if (seen != expected) {
            expected = seen;
            return false;
        }
        value_.store(desired, std::memory_order_relaxed);
        return true;
    }

  private:
    std::atomic<T> value_;
};

} // namespace chainring::detail
