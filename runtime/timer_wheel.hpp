// Timers in user space: a hierarchical wheel, where arming and cancelling cost the same for one timer and a
// million. The kernel's own timers scan a list on every cancel, so the ring gets only one time-out: how long
// to wait.
//
// A timer fires on the first turn after its deadline, never before; ticks are 65.5 microseconds long.
#pragma once

#include <chainring/runtime/intrusive_list.hpp>
#include <chainring/runtime/kernel.hpp>

#include <array>
#include <cstdint>

namespace chainring {

struct timer_tag;

// Lives in whatever waits; a timer that is destroyed is cancelled.
class timer : public list_node<timer_tag> {
  public:
    virtual void fire() noexcept = 0;

    bool armed() const noexcept { return linked(); }
    void cancel_timer() noexcept { unlink(); }

  protected:
    ~timer() = default;

  private:
    friend class timer_wheel;
    std::uint64_t due_ = 0; // in ticks
};

class timer_wheel {
  public:
    explicit timer_wheel(time_point start) noexcept
        : now_(tick_before(start)) {}

    // A deadline that has passed fires on the next `advance`.
    void arm(timer& armed, time_point deadline) noexcept;

    // Fires what is due at `now`. What the timers arm while firing waits for the next call.
    void advance(time_point now) noexcept;

    // When to call `advance` next, if anything is armed; it may be earlier than the first deadline, never
    // later.
    bool next(time_point& at) const noexcept;

  private:
    static constexpr unsigned tick_bits = 16; // of nanoseconds
    static constexpr unsigned level_bits = 6;
    static constexpr unsigned slots = 1U << level_bits;
    static constexpr unsigned levels = 8; // 6 * 8 + 16 bits: every time a 64-bit nanosecond clock can show

    using list = intrusive_list<timer, timer_tag>;

    static std::uint64_t tick_before(time_point at) noexcept;
    static std::uint64_t tick_after(time_point at) noexcept;

    void place(timer& placed) noexcept;
    // The first tick after `now_` at which a slot of the wheel is due; false: the wheel is empty. Slots whose
    // timers were all cancelled are forgotten on the way.
    bool next_tick(std::uint64_t& tick) const noexcept;

    std::uint64_t now_; // every timer due up to this tick has fired
    list due_;
    mutable unsigned used_levels_ = 0; // a bit for each level with a bit in `occupied_`
    mutable std::array<std::uint64_t, levels> occupied_{};
    mutable std::array<std::array<list, slots>, levels> wheel_;
};

} // namespace chainring
