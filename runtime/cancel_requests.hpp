// Asks the kernel for the end of operations, until they end. Whatever it answers, the operation's own CQE decides.
#pragma once

#include <chainring/runtime/registered.hpp>
#include <chainring/runtime/slots.hpp>
#include <chainring/runtime/timer_wheel.hpp>

#include <vector>

namespace chainring {

class executor;

class cancel_requests final : private turn_end_work, private timer {
  public:
    explicit cancel_requests(executor& home) noexcept
        : home_(home) {}

    // An operation that has ended is no error.
    void request(operation_id id) noexcept;
    // The request's own CQE. While completions are reaped.
    void answered(operation_id id, int answer) noexcept;

    unsigned in_flight() const noexcept { return in_flight_; }

  private:
    bool may_cancel(operation_id id) const noexcept;
    void repeat_later(operation_id id);
    void at_turn_end() noexcept override;
    void fire() noexcept override;

    executor& home_;
    unsigned in_flight_ = 0;
    std::vector<operation_id> at_turn_end_; // to be repeated then
    std::vector<operation_id> later_;       // to be repeated after a pause
};

} // namespace chainring
