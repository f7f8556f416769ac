// What other threads hand to an executor: a lock-free stack of work, turned into a queue by its one consumer,
// and the handshake that wakes a sleeping executor once.
#pragma once

#include <chainring/runtime/kernel.hpp>

#include <atomic>

namespace chainring {

// Intrusive: posting allocates nothing. The poster keeps it alive until `run`.
class posted_work {
  public:
    virtual void run() noexcept = 0;

  protected:
    posted_work() noexcept = default;
    ~posted_work() = default;

  private:
    friend class inbox;
    posted_work* next_ = nullptr;
};

class inbox {
  public:
    // Throws std::system_error when no eventfd can be had.
    explicit inbox(kernel& behind)
        : kernel_(behind)
        , event_(behind.open_event()) {
        if (event_ < 0) throw std::system_error(from_errno(-event_), "eventfd");
    }
    ~inbox() { kernel_.close(event_); }
    inbox(const inbox&) = delete;
    inbox& operator=(const inbox&) = delete;

    // Any thread, and signal handlers.
    void post(posted_work& work) noexcept {
        posted_work* head = head_.load(std::memory_order_relaxed);
        do {
            work.next_ = head;
        } while (
            !head_.compare_exchange_weak(head, &work, std::memory_order_seq_cst, std::memory_order_relaxed));
        if (head == nullptr) wake();
    }

    // Ends the executor's sleep, if it sleeps. One system call a sleep, however many threads call.
    void wake() noexcept {
        if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false, std::memory_order_seq_cst))
            kernel_.signal_event(event_);
    }

    // The rest is the executor's.

    int event() const noexcept { return event_; }
    bool empty() const noexcept { return head_.load(std::memory_order_seq_cst) == nullptr; }

    // From here on posts signal the event. The caller must look at `empty` once more before it sleeps:
    // whoever posted before saw nobody asleep.
    void about_to_sleep() noexcept { asleep_.store(true, std::memory_order_seq_cst); }
    // A poster that still saw the executor asleep signals the event for nothing, which costs one turn. None is
    // missed: the executor looks at the inbox again before it sleeps.
    void awake() noexcept { asleep_.store(false, std::memory_order_relaxed); }

    // In the order of posting.
    void run_all() noexcept {
        if (head_.load(std::memory_order_relaxed) == nullptr) return;
        posted_work* newest = head_.exchange(nullptr, std::memory_order_acquire);
        posted_work* oldest = nullptr;
        while (newest != nullptr) {
            posted_work* next = newest->next_;
            newest->next_ = oldest;
            oldest = newest;
            newest = next;
        }
        while (oldest != nullptr) {
            posted_work* next = oldest->next_;
            oldest->run();
            oldest = next;
        }
    }

  private:
    kernel& kernel_;
    int event_;
    alignas(64) std::atomic<posted_work*> head_ = nullptr;
    std::atomic<bool> asleep_ = false;
};

} // namespace chainring
