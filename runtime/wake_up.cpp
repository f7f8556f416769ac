#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/wake_up.hpp>

#include <poll.h>

namespace chainring {

bool wake_up::armed() const noexcept {
    return poll_ && home_.in_flight(poll_);
}

void wake_up::arm() {
    if (armed()) [[likely]]
        return;
    poll_ = home_.submit(
        *this, [this](io_uring_sqe& sqe) { io_uring_prep_poll_multishot(&sqe, event_, POLLIN); });
}

void wake_up::disarm() noexcept {
    home_.cancel_and_wait(poll_);
}

void wake_up::complete(const io_uring_cqe& cqe) noexcept {
    if (cqe.res > 0) ++home_.counters().wakeups;
}

} // namespace chainring
