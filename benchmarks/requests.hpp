// Cuts a stream of bytes into requests of one size, wherever the chunks that it arrives in end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

class requests {
  public:
    explicit requests(std::size_t size)
        : size_(size) {}

    // The bytes must stay until `next` has returned nothing.
    void add(std::string_view received) { rest_ = received; }

    // The next whole request, valid until the next call; empty when more must be received.
    std::string_view next() {
        if (begun_.size() == size_) begun_.clear();
        if (begun_.empty() && rest_.size() >= size_) return take(size_);
        begun_.append(take(std::min(size_ - begun_.size(), rest_.size())));
        return begun_.size() == size_ ? std::string_view(begun_) : std::string_view();
    }

  private:
    std::string_view take(std::size_t count) {
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return taken;
    }

    std::size_t size_;
    std::string_view rest_; // of what was added
    std::string begun_;     // a request that arrives in parts
};
