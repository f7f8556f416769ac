// A node in the tree of cancellation. Every task belongs to one; awaiting or spawning a task hands it down.
// Cancelling a node cancels everything that waits in it and below it, now and later.
#pragma once

#include <chainring/runtime/waiter.hpp>

namespace chainring {

class executor;
struct cancel_scope_tag;

class cancel_scope : public list_node<cancel_scope_tag> {
  public:
    // A root.
    explicit cancel_scope(executor& home) noexcept
        : executor_(&home) {}

    // A scope below another one. A child of a cancelled scope is born cancelled.
    explicit cancel_scope(cancel_scope* parent) noexcept
        : executor_(parent->executor_)
        , cancelled_(parent->cancelled_) {
        parent->children_.push_back(*this);
    }

    executor& home() const noexcept { return *executor_; }
    bool cancelled() const noexcept { return cancelled_; }

    // Asks everything below to end. Nothing is resumed before the caller suspends. Idempotent.
    void cancel() noexcept;

    void add(waiter& waiting) noexcept { waiting_.push_back(waiting); }

  private:
    executor* executor_;
    bool cancelled_ = false;
    waiter_list waiting_;
    intrusive_list<cancel_scope, cancel_scope_tag> children_;
};

} // namespace chainring
