// What waits for a primitive of sync/: in the order of arrival, guarded by the primitive's lock. Whoever waits is a coroutine
// (queued_waiter.hpp) or a thread (queued_thread.hpp); the primitive does not know which.
#pragma once

#include <chainring/runtime/error.hpp>
#include <chainring/runtime/intrusive_list.hpp>
#include <chainring/sync/short_mutex.hpp>

#include <concepts>
#include <mutex>
#include <string>

namespace chainring {

// The lock of a primitive. It is held for some instructions and, where somebody on another executor goes on, for waking that
// executor; never while anything waits, and no code of the user's runs under it but what moves and copies values.
class monitor {
  public:
    monitor(const monitor&) = delete;
    monitor& operator=(const monitor&) = delete;

    short_mutex& lock() const noexcept { return mutex_; }

    // With the lock: somebody has left a queue without what they waited for. Those behind may have it now.
    virtual void left() noexcept {}

  protected:
    monitor() noexcept = default;
    ~monitor() = default;

  private:
    mutable short_mutex mutex_;
};

struct queued_tag;

class queued : public list_node<queued_tag> {
  public:
    // With the lock, once, when it is in no queue any more: it has what it waited for, or hears why not.
    virtual void let_go(fault refused) noexcept = 0;

    // For people.
    virtual std::string who() const = 0;

  protected:
    queued() noexcept = default;
    queued(queued&&) noexcept = default;
    ~queued() = default;
};

// Not a template: what ends a queue.
class wait_queue_base {
  public:
    wait_queue_base(const wait_queue_base&) = delete;
    wait_queue_base& operator=(const wait_queue_base&) = delete;

  protected:
    wait_queue_base(monitor& of, const char* primitive) noexcept
        : monitor_(of)
        , primitive_(primitive) {}
    // Whoever let the last one go may hold the lock still: so a primitive may be destroyed by the one that it let go. Its
    // queues are the last of its members, since that one looks at the others too.
    ~wait_queue_base() {
        const std::lock_guard last(monitor_.lock());
        if (!waiting_.empty()) [[unlikely]]
            destroyed_with_waiters();
    }

    intrusive_list<queued, queued_tag> waiting_;

  private:
    // Logs who waits; aborts in builds with assertions.
    void destroyed_with_waiters() noexcept;

    monitor& monitor_;
    const char* primitive_;
};

// Everything with the lock.
template <std::derived_from<queued> Entry = queued> class wait_queue final : private wait_queue_base {
  public:
    wait_queue(monitor& of, const char* primitive) noexcept
        : wait_queue_base(of, primitive) {}

    bool empty() const noexcept { return waiting_.empty(); }
    Entry& front() noexcept { return static_cast<Entry&>(waiting_.front()); }
    void push_back(Entry& waiting) noexcept { waiting_.push_back(waiting); }
    Entry& pop_front() noexcept { return static_cast<Entry&>(waiting_.pop_front()); }

    void let_all_go(fault refused = {}) noexcept {
        while (!waiting_.empty()) waiting_.pop_front().let_go(refused);
    }
};

} // namespace chainring
