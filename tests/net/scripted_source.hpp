// A stream for tests of what reads one: it yields the pieces that it was given, each in a block of its own.
#pragma once

#include "sockets.hpp"

#include <cstring>
#include <string>
#include <vector>

namespace chainring::test {

class scripted_source {
  public:
    explicit scripted_source(std::vector<std::string> pieces, std::error_code at_the_end = {})
        : pieces_(std::move(pieces))
        , at_the_end_(at_the_end) {}

    task<result<buffer>> receive() {
        if (next_ == pieces_.size()) {
            if (at_the_end_) co_return failure(at_the_end_);
            co_return buffer();
        }
        buffer_pool& pool = executor::current()->buffers();
        const std::string& piece = pieces_[next_++];
        const std::uint16_t block = pool.take();
        std::memcpy(pool.memory_of(block).data(), piece.data(), piece.size());
        pool.came_from(block, -1, executor::current()->now());
        buffer lease = pool.lease(block, 0, static_cast<std::uint32_t>(piece.size()));
        latest_ = lease.bytes();
        co_return lease;
    }

    bool used_up() const { return next_ == pieces_.size(); }
    // That it has yielded last.
    byte_span latest() const { return latest_; }

  private:
    std::vector<std::string> pieces_;
    std::error_code at_the_end_;
    std::size_t next_ = 0;
    byte_span latest_;
};

// The input cut at each place whose bit is set.
inline std::vector<std::string> split(std::string_view input, unsigned cuts) {
    std::vector<std::string> pieces(1);
    for (std::size_t at = 0; at < input.size(); ++at) {
        if (at != 0 && (cuts >> (at - 1) & 1) != 0) pieces.emplace_back();
        pieces.back() += input[at];
    }
    return pieces;
}

inline std::vector<std::string> byte_by_byte(std::string_view input) {
    std::vector<std::string> pieces;
    for (const char each : input) pieces.emplace_back(1, each);
    return pieces;
}

// What a read has brought, in words: "'text'" or what the error says.
inline std::string told(const result<message_view>& read) {
    return read ? "'" + std::string(read->text()) + "'" : read.error().message();
}
inline std::string message_of(errc condition) {
    return make_error_code(condition).message();
}

} // namespace chainring::test
