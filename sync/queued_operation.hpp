// An operation that waits in a wait_queue, if it waits at all.
#pragma once

#include <chainring/sync/queued_waiter.hpp>

namespace chainring {

// Derived provides, besides what operation and queued_waiter ask for:
//   bool try_at_once()     false: `start` follows, and asks once more, with the lock
//
// What completes at once costs no more than that: it neither enters its scope's list nor tells where it is.
template <class Derived, std::derived_from<queued> Entry = queued>
class queued_operation : public operation<Derived, queued_waiter<Entry>> {
    using awaited = operation<Derived, queued_waiter<Entry>>;

  public:
    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        cancel_scope& scope = caller.promise().scope();
        const bool ended = at_once(scope);
        if (ended && scope.home().ready().may_go_on()) [[likely]]
            return false;
        wait_site& site = caller.promise().site().at(caller, where);
        return ended ? this->completed_at_once(site, scope.home()) : awaited::begin(site, scope);
    }
    bool begin(wait_site& caller, cancel_scope& scope) {
        return at_once(scope) ? this->completed_at_once(caller, scope.home()) : awaited::begin(caller, scope);
    }

  protected:
    using awaited::awaited;

  private:
    bool at_once(const cancel_scope& scope) {
        return !scope.cancelled() && static_cast<Derived&>(*this).try_at_once();
    }
};

} // namespace chainring
