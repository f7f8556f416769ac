// message_view: received bytes where they lie, in a lease or in what a reader has joined. Who made it says how long they stay.
#pragma once

#include <chainring/net/message.hpp>

namespace chainring {

class message_view {
  public:
    message_view() noexcept = default; // empty
    message_view(byte_span bytes) noexcept
        : bytes_(bytes) {}

    // Sizes are in bytes.
    bool empty() const noexcept { return bytes_.empty(); }
    std::size_t size() const noexcept { return bytes_.size(); }
    const std::byte* data() const noexcept { return bytes_.data(); }
    byte_span bytes() const noexcept { return bytes_; }
    std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
    }
    operator byte_span() const noexcept { return bytes_; } // so that it can be sent as it is

  private:
    byte_span bytes_;
};

} // namespace chainring
