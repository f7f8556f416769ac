// semaphore: so many permits, which tasks on whatever executor take and give.
//
//     cr::semaphore ten_at_a_time(10);
//     const cr::permit held = co_await cr::try_(ten_at_a_time.acquire());
//
// Permits are handed out in the order of asking: a task that wants many is not passed by those behind it that want few.
#pragma once

#include <chainring/sync/permits.hpp>

#include <optional>

namespace chainring {

class semaphore final {
  public:
    // Of the permits, at any time; what is released beyond that is lost.
    static constexpr std::uint32_t most = permits::unlimited;

    explicit semaphore(std::uint32_t available) noexcept
        : permits_("semaphore", std::min(available, most), most) {}

    // completes when: the task holds `count` permits; at once if there are so many and nobody waits
    // value:          the permits, which are released with it; `forget()` keeps them from that
    // errors:         errc::cancelled: it holds none
    // cancellation:   at once; permits that it was given by then are the task's
    // ownership:      the semaphore must outlive it and the permits
    // thread:         any executor's; the task goes on on its own
    acquire_operation acquire(std::uint32_t count = 1) noexcept {
        return {permits_, count, "permits of a semaphore"};
    }
    // Nothing if there are not so many, or somebody waits. Any thread.
    std::optional<permit> try_acquire(std::uint32_t count = 1) noexcept {
        if (!permits_.try_take(count)) return std::nullopt;
        return permit(permits_, count);
    }
    // Adds permits, which need not have been acquired. Any thread.
    void release(std::uint32_t count = 1) noexcept { permits_.give(count); }

    std::uint32_t available() const noexcept { return permits_.available(); }

  private:
    permits permits_;
};

} // namespace chainring
