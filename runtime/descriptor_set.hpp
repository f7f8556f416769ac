// The descriptors that an executor's sockets own, a bit each: nothing else may close one of them, or be given it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chainring {

class descriptor_set {
  public:
    bool contains(int descriptor) const noexcept {
        const std::size_t at = word_of(descriptor);
        return descriptor >= 0 && at < words_.size() && (words_[at] & bit_of(descriptor)) != 0;
    }
    void add(int descriptor) {
        const std::size_t at = word_of(descriptor);
        if (at >= words_.size()) [[unlikely]]
            words_.resize(at + 1);
        words_[at] |= bit_of(descriptor);
    }
    // One that it contains.
    void remove(int descriptor) noexcept { words_[word_of(descriptor)] &= ~bit_of(descriptor); }

  private:
    static std::size_t word_of(int descriptor) noexcept { return static_cast<unsigned>(descriptor) / 64; }
    static std::uint64_t bit_of(int descriptor) noexcept {
        return std::uint64_t{1} << (static_cast<unsigned>(descriptor) % 64);
    }

    std::vector<std::uint64_t> words_;
};

} // namespace chainring
