// How many permits there are, and the line of who waits for some: all of it with the lock of the primitive.
#pragma once

#include <chainring/sync/wait_queue.hpp>

#include <algorithm>
#include <cstdint>

namespace chainring {

class permit_request : public queued {
  public:
    std::uint32_t count() const noexcept { return count_; }

  protected:
    explicit permit_request(std::uint32_t count) noexcept
        : count_(count) {}
    permit_request(permit_request&&) noexcept = default;
    ~permit_request() = default;

  private:
    std::uint32_t count_;
};

class permit_line {
  public:
    // More than `most` are never there: what is given beyond that is lost.
    permit_line(monitor& of, const char* primitive, std::uint32_t available, std::uint32_t most) noexcept
        : available_(available)
        , most_(most)
        , waiting_(of, primitive) {}

    std::uint32_t available() const noexcept { return available_; }

    // False: there are not so many, or somebody waits.
    bool try_take(std::uint32_t count) noexcept {
        if (!waiting_.empty() || available_ < count) return false;
        available_ -= count;
        return true;
    }
    // False: it stands in line.
    bool take_or_wait(permit_request& wanted) noexcept {
        if (try_take(wanted.count())) return true;
        wait(wanted);
        return false;
    }
    void wait(permit_request& wanted) noexcept { waiting_.push_back(wanted); }
    void give(std::uint32_t count) noexcept {
        available_ += std::min(count, most_ - available_);
        serve();
    }
    // Of those who wait, as many as there are permits for: also when somebody has left the line.
    void serve() noexcept {
        while (!waiting_.empty() && waiting_.front().count() <= available_) {
            available_ -= waiting_.front().count();
            waiting_.pop_front().let_go({});
        }
    }

  private:
    std::uint32_t available_;
    std::uint32_t most_;
    wait_queue<permit_request> waiting_;
};

} // namespace chainring
