// owned_descriptor: a descriptor that somebody has to take. It closes unless it is taken.
#pragma once

#include <chainring/runtime/kernel.hpp>

#include <utility>

namespace chainring {

// Move-only, and no executor's: on any thread. What it closes must have no operation in flight. Behind a simulated kernel
// that must outlive it.
class owned_descriptor {
  public:
    owned_descriptor() noexcept = default; // none
    explicit owned_descriptor(int descriptor, kernel& behind = linux_kernel()) noexcept
        : behind_(&behind)
        , number_(descriptor) {}
    owned_descriptor(owned_descriptor&& other) noexcept
        : behind_(other.behind_)
        , number_(other.take()) {}
    owned_descriptor& operator=(owned_descriptor&& other) noexcept {
        owned_descriptor taken(std::move(other));
        std::swap(behind_, taken.behind_);
        std::swap(number_, taken.number_);
        return *this;
    }
    ~owned_descriptor() { reset(); }

    explicit operator bool() const noexcept { return number_ >= 0; }
    int get() const noexcept { return number_; } // -1: none
    // It is the caller's from here.
    int take() noexcept { return std::exchange(number_, -1); }
    void reset() noexcept {
        if (number_ >= 0) behind_->close(take());
    }

  private:
    kernel* behind_ = nullptr;
    int number_ = -1;
};

} // namespace chainring
