#include <chainring/runtime/cancel_scope.hpp>

namespace chainring {

void cancel_scope::cancel() noexcept {
    if (std::exchange(cancelled_, true)) return;
    untold_list untold;
    tell_all(untold, *this);
}

// Not inlined: GCC takes the nodes' links to the list for dangling ones.
[[gnu::noinline]] void cancel_scope::tell_all(untold_list& untold, cancel_scope& first) noexcept {
    // Not by recursion: a tree may be as deep as memory goes. What is cancelled from within leaves those alone that are
    // to come here. Who is told may destroy any of these scopes, this one included: it leaves the list then.
    untold.push_back(first);
    while (!untold.empty()) {
        cancel_scope& scope = untold.pop_front();
        scope.children_.for_each([&untold](cancel_scope& child) {
            if (!std::exchange(child.cancelled_, true)) untold.push_front(child);
        });
        scope.tell();
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
