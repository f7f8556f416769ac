// input: what has come from a client and was not taken yet. What arrived in one block is looked at where it was received; what a
// command is missing a part of is kept in memory of its own, and the block goes back to the pool.
#pragma once

#include <chainring/chainring.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace redis {

class input {
  public:
    // When `keep_rest` was called since the last block.
    void add(chainring::buffer&& block) {
        if (rest_.empty())
            block_ = std::move(block);
        else
            rest_ += block.text();
    }

    std::string_view pending() const {
        return (rest_.empty() ? block_.text() : std::string_view(rest_)).substr(taken_);
    }
    void take(std::size_t bytes) { taken_ += bytes; }

    // What is pending moves.
    void keep_rest() {
        if (rest_.empty()) {
            rest_ = pending();
            block_.reset();
        } else if (taken_ == rest_.size()) {
            // An idle client keeps no memory.
            rest_ = std::string();
        } else if (taken_ != 0) {
            rest_.erase(0, taken_);
        }
        taken_ = 0;
    }

  private:
    chainring::buffer block_; // nothing, while there is a rest
    std::string rest_;
    std::size_t taken_ = 0;
};

} // namespace redis
