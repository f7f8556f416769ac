// A node in the tree of cancellation. Every task belongs to one; awaiting or spawning a task hands it down.
// Cancelling a node cancels everything that waits in it and below it, now and later.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/runtime/waiter.hpp>

#include <algorithm>
#include <vector>

namespace chainring {

class executor;
struct cancel_scope_tag;
struct untold_tag;

class cancel_scope : public list_node<cancel_scope_tag>, public list_node<untold_tag> {
  public:
    // A root.
    explicit cancel_scope(executor& home) noexcept
        : executor_(&home) {}

    // A scope below another one. A child of a cancelled scope is born cancelled.
    explicit cancel_scope(cancel_scope* parent, time_point deadline = no_deadline) noexcept
        : executor_(parent->executor_)
        , deadline_(std::min(deadline, parent->deadline_))
        , cancelled_(parent->cancelled_)
        , shielded_(parent->shielded_) {
        parent->children_.push_back(*this);
    }
    // Below another one whose cancellation and deadline do not reach it.
    struct shielded {};
    cancel_scope(cancel_scope* parent, shielded, time_point deadline = no_deadline) noexcept
        : executor_(parent->executor_)
        , deadline_(deadline)
        , shielded_(true) {}

    executor& home() const noexcept { return *executor_; }
    bool cancelled() const noexcept { return cancelled_; }
    // It or one above it is shielded: no cancellation of the executor's root scope reaches it.
    bool is_shielded() const noexcept { return shielded_; }
    // The nearest one, of this scope and those above it. Whoever has set it cancels the scope then.
    time_point deadline() const noexcept { return deadline_; }
    static constexpr time_point no_deadline = time_point::max();

    // Asks everything below to end. Nothing is resumed before the caller suspends. Idempotent.
    void cancel() noexcept;

    void add(waiter& waiting) noexcept { waiting_.push_back(waiting); }

    // It is `other`, or one above it.
    bool is_above(const cancel_scope& other) const {
        bool found = false;
        for_each_scope([&](const cancel_scope& each) { found = found || &each == &other; });
        return found;
    }

    // Of this scope and of all below.
    template <class Visitor> void for_each_waiter(const Visitor& visit) const {
        std::vector<const cancel_scope*> walked;
        for_each_waiter(visit, walked);
    }
    // The same for who walks often, in memory that is kept.
    template <class Visitor>
    void for_each_waiter(const Visitor& visit, std::vector<const cancel_scope*>& walked) const {
        const auto visit_all = [&](const cancel_scope& scope) {
            scope.waiting_.for_each([&](const waiter& each) { visit(each, scope); });
        };
        for_each_scope(visit_all, walked);
    }

  private:
    template <class Visitor> void for_each_scope(const Visitor& visit) const {
        std::vector<const cancel_scope*> walked;
        for_each_scope(visit, walked);
    }
    template <class Visitor>
    void for_each_scope(const Visitor& visit, std::vector<const cancel_scope*>& all) const {
        all.assign(1, this); // no recursion: a tree may be as deep as memory goes
        for (std::size_t at = 0; at != all.size(); ++at) {
            visit(*all[at]);
            all[at]->children_.for_each([&](const cancel_scope& each) { all.push_back(&each); });
        }
    }

    using untold_list = intrusive_list<cancel_scope, untold_tag>;

    static void tell_all(untold_list& untold, cancel_scope& first) noexcept;
    void tell() noexcept;

    executor* executor_;
    time_point deadline_ = no_deadline;
    bool cancelled_ = false;
    bool shielded_ = false;
    waiter_list waiting_;
    intrusive_list<cancel_scope, cancel_scope_tag> children_;
};

} // namespace chainring
