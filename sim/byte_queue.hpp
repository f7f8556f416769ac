// Bytes that come at the back and go at the front, one behind the other in memory.
#pragma once

#include <cstddef>
#include <string>

namespace chainring::sim {

class byte_queue {
  public:
    std::size_t size() const noexcept { return bytes_.size() - gone_; }
    const char* data() const noexcept { return bytes_.data() + gone_; }
    // To append to.
    std::string& back() noexcept { return bytes_; }
    void remove_front(std::size_t count) {
        gone_ += count;
        if (gone_ * 2 < bytes_.size()) return; // each byte moves once at most
        bytes_.erase(0, gone_);
        gone_ = 0;
    }
    // Keeps the first `size` bytes.
    void truncate(std::size_t size) { bytes_.resize(gone_ + size); }

  private:
    std::string bytes_;
    std::size_t gone_ = 0; // at the front of `bytes_`
};

} // namespace chainring::sim
