// A list of tasks through their promises.
#pragma once

#include <chainring/runtime/task_promise.hpp>

namespace chainring {

// Started tasks of a group. The list owns nothing and is walked by its owner only.
class task_list {
  public:
    bool empty() const noexcept { return first_ == nullptr; }

    void push_back(promise_base& task) noexcept {
        task.previous_ = last_;
        task.next_ = nullptr;
        (last_ == nullptr ? first_ : last_->next_) = &task;
        last_ = &task;
    }
    void remove(promise_base& task) noexcept {
        (task.previous_ == nullptr ? first_ : task.previous_->next_) = task.next_;
        (task.next_ == nullptr ? last_ : task.next_->previous_) = task.previous_;
    }
    void replace(promise_base& task, promise_base& by) noexcept {
        by.previous_ = task.previous_;
        by.next_ = task.next_;
        (by.previous_ == nullptr ? first_ : by.previous_->next_) = &by;
        (by.next_ == nullptr ? last_ : by.next_->previous_) = &by;
    }
    template <class Visitor> void for_each(Visitor&& visit) const {
        for (const promise_base* each = first_; each != nullptr; each = each->next_) visit(*each);
    }
    promise_base& pop_front() noexcept {
        promise_base& popped = *first_;
        remove(popped);
        return popped;
    }
    promise_base& pop_back() noexcept {
        promise_base& popped = *last_;
        remove(popped);
        return popped;
    }

  private:
    promise_base* first_ = nullptr;
    promise_base* last_ = nullptr;
};

// Destroys all that an awaited task awaits in its turn, from the end. The destructor of each frame would do the same, in
// the same order, but on the stack, and a chain may be as deep as memory goes.
[[gnu::noinline]] inline void destroy_awaited_below(promise_base& top) noexcept {
    task_list chain; // an awaited task is in no other list
    for (promise_base* each = &top; each != nullptr; each = each->awaited()) chain.push_back(*each);
    while (!chain.empty()) {
        promise_base& last = chain.pop_back();
        if (last.awaited() != nullptr) last.site().waits_for()->destroy_awaited();
    }
}

} // namespace chainring
