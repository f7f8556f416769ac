#include <chainring/runtime/cancel_scope.hpp>

namespace chainring {

void cancel_scope::cancel() noexcept {
    if (cancelled_) return;
    cancelled_ = true;
    // A waiter that is told may leave at once, and an SQE taken for a cancel request may reap completions
    // that let others leave: so never hold an iterator, take them one by one from a list of those not told
    // yet.
    waiter_list untold;
    untold.take_all(waiting_);
    while (!untold.empty()) {
        waiter& next = untold.front();
        waiting_.push_back(next);
        next.cancel();
    }
    children_.for_each([](cancel_scope& child) { child.cancel(); });
}

} // namespace chainring
