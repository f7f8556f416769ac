#include <chainring/runtime/cancel_scope.hpp>

namespace chainring {

void cancel_scope::cancel() noexcept {
    if (std::exchange(cancelled_, true)) return;
    // Not by recursion: a tree may be as deep as memory goes. What is cancelled from within leaves those alone that are
    // to come here.
    for (cancel_scope* next = this; next != nullptr;) {
        cancel_scope& scope = *next;
        scope.tell();
        next = scope.next_to_tell_;
        scope.children_.for_each([&next](cancel_scope& child) {
            if (std::exchange(child.cancelled_, true)) return;
            child.next_to_tell_ = next;
            next = &child;
        });
    }
}

void cancel_scope::tell() noexcept {
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
}

} // namespace chainring
