#include <chainring/runtime/graceful_shutdown.hpp>
#include <chainring/runtime/log.hpp>

#include <spdlog/logger.h>

#include <algorithm>

namespace chainring {

void graceful_shutdown::begin() noexcept {
    if (reached_ != stage::serving) return;
    begun_ = home_.behind().now();
    go_on();
}

void graceful_shutdown::go_on() noexcept {
    duration next{};
    switch (reached_) {
    case stage::serving:
        reached_ = stage::finishing;
        home_.stop_intakes();
        next = std::min(limits_.soft, limits_.hard);
        break;
    case stage::finishing:
        reached_ = stage::cancelled;
        home_.root_scope().cancel();
        next = limits_.hard;
        break;
    case stage::cancelled:
        reached_ = stage::overdue;
        log().error("shutdown: the hard deadline has passed; still there:");
        for (const std::string& held : home_.holdings_report()) log().error("  {}", held);
        home_.give_up();
        return;
    case stage::overdue: return;
    }
    // Zero and less: at once, and not in a turn that may be asleep by then.
    if (next <= duration::zero())
        go_on();
    else
        home_.timers().arm(*this, next < time_point::max() - begun_ ? begun_ + next : time_point::max());
}

} // namespace chainring
