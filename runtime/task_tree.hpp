// The printer behind executor::dump: coroutines, each with the place where it is suspended, and below it what it waits for.
#pragma once

#include <chainring/runtime/cancel_scope.hpp>

#include <iosfwd>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace chainring {

class ready_queue;

class task_tree {
  public:
    // `ready` holds the waiters that go on as soon as they may: what they have waited for may be gone.
    task_tree(std::ostream& to, time_point now, const ready_queue& ready);

    // A coroutine, on a line of its own, and what it waits for.
    void coroutine(const wait_site& site, const cancel_scope& scope);
    // A task that has not run yet.
    void not_started();

    // One of these is called for the coroutine on the last line, by the waiter in which it is suspended.
    //
    // It waits for an operation, and on what: ("receive on", "descriptor 7").
    void waits(std::string_view operation, std::string_view what = {});
    // It waits for another coroutine.
    void awaits(const wait_site& site, const cancel_scope& scope, std::string_view name = {});

    // What was shown has, or may have, a coroutine that runs.
    bool something_runs() const noexcept { return something_runs_; }

    // Of what several have to show.
    bool first_time(const void* shown) { return shown_.insert(shown).second; }

    // What `show()` prints is below the last line. Of a recursion that never ends the first levels tell enough.
    template <class Show> void below(Show&& show) {
        ++depth_;
        if (depth_ < deepest)
            show();
        else
            omit();
        --depth_;
    }
    // What `show()` prints has to end by then.
    template <class Show> void within(time_point deadline, Show&& show) {
        const time_point before = deadline_;
        deadline_ = std::min(before, deadline);
        show();
        deadline_ = before;
    }

    // No deadline from above reaches it.
    template <class Show> void shielded(Show&& show) {
        const time_point before = std::exchange(deadline_, cancel_scope::no_deadline);
        show();
        deadline_ = before;
    }

  private:
    static constexpr unsigned deepest = 100; // levels

    void begin_line();
    void omit();

    std::ostream& to_;
    time_point now_;
    std::unordered_set<const waiter*> ready_;
    std::unordered_set<const void*> shown_;
    time_point since_{};
    time_point deadline_ = cancel_scope::no_deadline;
    unsigned depth_ = 0;
    bool something_runs_ = false;
};

// The name of a function as people write it: without its type, its parameters and the arguments of templates.
std::string_view short_name(std::string_view function) noexcept;

} // namespace chainring
