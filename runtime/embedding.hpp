// embedding: an executor within another loop, which drives it. What the adapters of net/embed/ have in common.
//
// It ends by `stop`, or with the executor: whichever of the two, and of the loop, is destroyed first takes nothing of the
// others along. Only itself must not be destroyed within a turn of the executor: `stop` is for there.
#pragma once

#include <chainring/runtime/executor.hpp>

#include <cassert>
#include <optional>

namespace chainring {

class embedding {
  public:
    embedding(const embedding&) = delete;
    embedding& operator=(const embedding&) = delete;

    // Lets the loop go, which is then free to end. The executor stands still until something else drives it, or its
    // destructor ends what is left. Idempotent. On the loop's thread; within a turn of the executor too.
    void stop() noexcept {
        if (stopped()) return;
        detach();
        leave_loop();
    }
    bool stopped() const noexcept { return home_ == nullptr; }
    // In a child that was forked: the loop's registrations are its parent's too.
    void abandon() noexcept { home_ = nullptr; }

  protected:
    // The thread that makes it is the executor's, or becomes it. Throws std::logic_error where the executor is another thread's,
    // where another loop drives it already, and within its turn; std::system_error.
    explicit embedding(executor& home)
        : home_(&home)
        , handle_(home.native_handle()) {
        home.attach(*this);
    }
    // Derived stops it before, while it can leave the loop.
    ~embedding() {
        assert(!pumping_ && "an embedding is stopped within a turn of its executor, and not destroyed");
        if (!stopped()) detach();
    }

    // Takes everything out of the loop that this has put there. The executor's handle is still open.
    virtual void leave_loop() noexcept = 0;

    int handle() const noexcept { return handle_; }
    std::optional<time_point> next_deadline() const noexcept { return home_->next_deadline(); }

    // True: the loop is to call it again, after a look at its other work. What runs here may have stopped the embedding.
    bool pump() {
        struct pumping {
            bool& flag;
            explicit pumping(bool& given) noexcept
                : flag(given) {
                flag = true;
            }
            ~pumping() { flag = false; }
        } const here(pumping_);
        return home_->pump() && !stopped();
    }

    // The next deadline, if the loop's timer is not set for that time or an earlier one: to put a timer off, with each message
    // of a connection that has a deadline, say, costs more than one wake-up for nothing.
    std::optional<time_point> earlier_deadline() noexcept {
        const std::optional<time_point> next = next_deadline();
        if (!next || (timer_set_for_ && *timer_set_for_ <= *next)) return std::nullopt;
        return timer_set_for_ = next;
    }
    void timer_has_fired() noexcept { timer_set_for_.reset(); }

  private:
    void detach() noexcept {
        assert(home_ != nullptr);
        home_->detach(*this);
        home_ = nullptr;
    }

    executor* home_; // nullptr: stopped
    int handle_;
    bool pumping_ = false;
    std::optional<time_point> timer_set_for_;
};

} // namespace chainring
