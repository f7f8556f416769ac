#include <chainring/runtime/timer_wheel.hpp>

#include <algorithm>
#include <bit>

namespace chainring {

std::uint64_t timer_wheel::tick_before(time_point at) noexcept {
    return static_cast<std::uint64_t>(at.time_since_epoch().count()) >> tick_bits;
}

std::uint64_t timer_wheel::tick_after(time_point at) noexcept {
    const auto nanoseconds = at.time_since_epoch().count();
    if (nanoseconds <= 0) return 0;
    // The clock ends within its last tick: what is due at the end of time fires when that one begins.
    constexpr auto last =
        static_cast<std::uint64_t>(time_point::max().time_since_epoch().count()) >> tick_bits;
    return std::min(((static_cast<std::uint64_t>(nanoseconds) - 1) >> tick_bits) + 1, last);
}

void timer_wheel::arm(timer& armed, time_point deadline) noexcept {
    armed.due_ = tick_after(deadline);
    place(armed);
}

void timer_wheel::place(timer& placed) noexcept {
    if (placed.due_ <= now_) {
        due_.push_back(placed);
        return;
    }
    // The level is that of the highest bit in which the due tick differs from now.
    const unsigned differing = 63U - static_cast<unsigned>(std::countl_zero(placed.due_ ^ now_));
    const unsigned level = std::min(differing / level_bits, levels - 1);
    const auto slot = static_cast<unsigned>(placed.due_ >> (level * level_bits)) % slots;
    wheel_[level][slot].push_back(placed);
    occupied_[level] |= std::uint64_t{1} << slot;
    used_levels_ |= 1U << level;
}

bool timer_wheel::next_tick(std::uint64_t& tick) const noexcept {
    for (unsigned unseen = used_levels_; unseen != 0; unseen &= unseen - 1) {
        const auto level = static_cast<unsigned>(std::countr_zero(unseen));
        const unsigned shift = level * level_bits;
        // Slots at or before the hand of this level are empty: their timers have moved down or fired.
        const auto hand = static_cast<unsigned>(now_ >> shift) % slots;
        std::uint64_t ahead = hand == slots - 1 ? 0 : occupied_[level] & (~std::uint64_t{0} << (hand + 1));
        while (ahead != 0) {
            const auto slot = static_cast<unsigned>(std::countr_zero(ahead));
            if (!wheel_[level][slot].empty()) {
                const std::uint64_t lap =
                    shift + level_bits >= 64 ? 0 : now_ >> (shift + level_bits) << level_bits;
                tick = (lap | slot) << shift;
                return true;
            }
            occupied_[level] &= ~(std::uint64_t{1} << slot);
            ahead &= ahead - 1;
        }
        if (occupied_[level] == 0) used_levels_ &= ~(1U << level);
    }
    return false;
}

void timer_wheel::advance(time_point now) noexcept {
    const std::uint64_t target = tick_before(now);
    std::uint64_t tick = 0;
    while (next_tick(tick) && tick <= target) {
        now_ = tick;
        // Slots that the hand reaches empty into lower levels, or into the due list.
        for (unsigned level = levels; level-- > 0;) {
            const auto slot = static_cast<unsigned>(now_ >> (level * level_bits)) % slots;
            const std::uint64_t bit = std::uint64_t{1} << slot;
            if ((occupied_[level] & bit) == 0) continue;
            occupied_[level] &= ~bit;
            list reached;
            reached.take_all(wheel_[level][slot]);
            while (!reached.empty()) place(reached.pop_front());
        }
    }
    now_ = std::max(now_, target);

    list firing;
    firing.take_all(due_);
    while (!firing.empty()) firing.pop_front().fire();
}

bool timer_wheel::next(time_point& at) const noexcept {
    std::uint64_t tick = now_;
    if (due_.empty() && !next_tick(tick)) return false;
    at = time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(tick << tick_bits)));
    return true;
}

} // namespace chainring
