// The coroutines that may run, in the order in which they became ready.
#pragma once

#include <chainring/runtime/resumption_watch.hpp>
#include <chainring/runtime/waiter.hpp>

#include <cstdint>

namespace chainring {

class ready_queue {
  public:
    bool empty() const noexcept { return waiting_.empty(); }

    void push(waiter& ready) noexcept { waiting_.push_back(ready); }

    // For one task handing over to another: it runs next.
    void push_next(waiter& ready) noexcept { waiting_.push_front(ready); }

    // Resumes coroutines within a budget, so that tasks that are always ready cannot starve I/O. A resumption takes
    // one from it, an await that completes at once a sixteenth. Returns how many it resumed.
    unsigned run(unsigned budget) noexcept {
        begin(budget);
        unsigned resumed = 0;
        while (!waiting_.empty()) {
            if (left_ <= 0) [[unlikely]]
                return watch_ == nullptr ? resumed : run_watched();
            left_ -= awaits_of_a_resumption;
            waiting_.pop_front().resume();
            ++resumed;
        }
        return resumed;
    }

    // Somebody hears of each resumption from here on, as long as `run` is given a budget of 0: so it costs nothing where nobody
    // does. This is the budget of each run then.
    void watch(resumption_watch& by, unsigned budget) noexcept {
        watch_ = &by;
        watched_budget_ = budget;
    }

    template <class Visitor> void for_each(const Visitor& visit) const { waiting_.for_each(visit); }

    // Coroutines run from here on, within the budget.
    void begin(unsigned budget) noexcept {
        deepest_ = stack_address() - room;
        left_ = awaits_of_a_resumption * budget;
    }

    // Asked once for each await that has completed at once. False: the budget is used up, and its coroutine is to go on
    // from the back of the queue.
    bool may_go_on() noexcept { return --left_ > 0; }

    // An awaited task starts on the stack of the one that awaits it, which is fast, but must not go on
    // without end: beyond some bytes of stack the child goes through the queue instead. Measured by address,
    // because a count would be two more stores for every await.
    bool may_nest() const noexcept { return stack_address() > deepest_; }

  private:
    static constexpr std::uintptr_t room = std::uintptr_t{64} * 1024; // bytes
    static constexpr std::int64_t awaits_of_a_resumption = 16;

    static std::uintptr_t stack_address() noexcept {
        return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    }

    [[gnu::noinline]] unsigned run_watched() noexcept {
        begin(watched_budget_);
        unsigned resumed = 0;
        while (left_ > 0 && !waiting_.empty()) {
            left_ -= awaits_of_a_resumption;
            waiter& next = waiting_.pop_front();
            watch_->before(next);
            next.resume();
            watch_->after();
            ++resumed;
        }
        return resumed;
    }

    waiter_list waiting_;
    std::uintptr_t deepest_ = 0;
    std::int64_t left_ = 0; // of the budget, in awaits that complete at once
    resumption_watch* watch_ = nullptr;
    unsigned watched_budget_ = 0;
};

} // namespace chainring
