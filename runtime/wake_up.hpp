// How an executor that sleeps in its ring hears of posts: a multishot poll of the inbox's eventfd, which tells every signal, and
// is armed once. The event is not read: the poll is edge-triggered, and a signal from before it is told when it is armed.
#pragma once

#include <chainring/runtime/slots.hpp>

namespace chainring {

class executor;

class wake_up final : public completion {
  public:
    wake_up(executor& home, int event) noexcept
        : home_(home)
        , event_(event) {}

    // Before a sleep. May submit and reap for room.
    void arm();
    // Somebody else looks at the event from now on.
    void disarm() noexcept;

    bool armed() const noexcept;
    bool is(operation_id id) const noexcept { return poll_ && id.user_data() == poll_.user_data(); }

    void complete(const io_uring_cqe& cqe) noexcept override;

  private:
    executor& home_;
    int event_;
    operation_id poll_;
};

} // namespace chainring
