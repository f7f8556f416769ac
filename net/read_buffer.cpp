#include <chainring/net/read_buffer.hpp>

#include <algorithm>

namespace chainring {

byte_span read_buffer::first(std::size_t size) {
    assert(size <= this->size());
    if (joined() == 0) return lease_.bytes().first(size);
    if (size > joined()) append(size - joined());
    return byte_span(joined_).subspan(begin_, size);
}

void read_buffer::let_go() noexcept {
    const std::size_t taken = std::exchange(taken_, 0);
    const std::size_t only_joined = joined() - overlap_;
    if (taken < only_joined) {
        begin_ += taken;
        return;
    }
    joined_.clear();
    begin_ = overlap_ = 0;
    lease_.remove_prefix(taken - only_joined); // all that is left lies there
    if (lease_.empty()) lease_.reset();
}

void read_buffer::join(std::size_t expected) {
    if (empty()) {
        joined_ = {};
        begin_ = 0;
        return;
    }
    // A peer that announces much and sends little gets no more memory than this.
    constexpr std::size_t on_trust = 65'536;
    joined_.reserve(begin_ + std::min(expected, std::max(on_trust, 2 * size())));
    append(lease_.size() - overlap_);
    lease_.reset();
    overlap_ = 0;
}

void read_buffer::append(std::size_t size) {
    if (begin_ >= joined()) { // moving the rest costs no more than taking what was before it
        joined_.erase(joined_.begin(), joined_.begin() + static_cast<std::ptrdiff_t>(begin_));
        begin_ = 0;
    }
    const byte_span more = std::as_const(lease_).bytes().subspan(overlap_, size);
    joined_.insert(joined_.end(), more.begin(), more.end());
    overlap_ += size;
}

} // namespace chainring
