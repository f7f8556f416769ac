// A queue of at most so many values, in memory that it has from the beginning.
#pragma once

#include <cassert>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace chainring::detail {

template <class T> class ring_buffer {
  public:
    explicit ring_buffer(std::size_t capacity)
        : places_(capacity) {}

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    bool full() const noexcept { return size_ == places_.size(); }

    // A value whose move throws changes nothing here.
    void push_back(T&& value) {
        assert(!full());
        places_[wrapped(first_ + size_)].emplace(std::move(value));
        ++size_;
    }
    T& front() noexcept {
        assert(!empty());
        return *places_[first_];
    }
    void pop_front() noexcept {
        assert(!empty());
        places_[first_].reset();
        first_ = wrapped(first_ + 1);
        --size_;
    }

  private:
    std::size_t wrapped(std::size_t place) const noexcept {
        return place < places_.size() ? place : place - places_.size();
    }

    std::vector<std::optional<T>> places_;
    std::size_t first_ = 0;
    std::size_t size_ = 0;
};

} // namespace chainring::detail
