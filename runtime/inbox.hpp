// What other threads hand to an executor: a lock-free stack of work, turned into a queue by its one consumer,
// and the handshake that wakes a sleeping executor once.
#pragma once

#include <chainring/runtime/frame_pool.hpp>
#include <chainring/runtime/kernel.hpp>

#include <atomic>
#include <memory>
#include <new>
#include <utility>

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

// Owns a function that was posted. From the frame pool where poster and executor share a thread.
template <class Function> class posted_function final : public posted_work {
  public:
    static posted_function& make(Function&& function, bool pooled) {
        void* memory =
            pooled ? frame_pool::allocate(sizeof(posted_function)) : ::operator new(sizeof(posted_function));
        return *::new (memory) posted_function(std::move(function), pooled);
    }
    void run() noexcept override {
        Function function(std::move(function_));
        const bool pooled = pooled_;
        std::destroy_at(this);
        if (pooled)
            frame_pool::release(this, sizeof *this);
        else
            ::operator delete(this);
        function();
    }

  private:
    posted_function(Function&& function, bool pooled)
        : function_(std::move(function))
        , pooled_(pooled) {}

    Function function_;
    bool pooled_;
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
    bool empty() const noexcept {
        return here_ == nullptr && head_.load(std::memory_order_seq_cst) == nullptr;
    }

    // By the executor's own thread, outside of signal handlers: without the price of an atomic operation.
    void post_here(posted_work& work) noexcept {
        work.next_ = nullptr;
        *end_of_here_ = &work;
        end_of_here_ = &work.next_;
    }

    // From here on posts signal the event. The caller must look at `empty` once more before it sleeps:
    // whoever posted before saw nobody asleep.
    void about_to_sleep() noexcept { asleep_.store(true, std::memory_order_seq_cst); }
    // A poster that still saw the executor asleep signals the event for nothing, which costs one turn. None is
    // missed: the executor looks at the inbox again before it sleeps.
    void awake() noexcept { asleep_.store(false, std::memory_order_relaxed); }

    // In the order of posting, those of other threads first. What they post here waits for the next call.
    void run_all() noexcept {
        if (head_.load(std::memory_order_relaxed) != nullptr) run(take_from_others());
        if (here_ != nullptr) run(take_from_here());
    }

  private:
    // As a list from the oldest on.
    posted_work* take_from_others() noexcept {
        posted_work* newest = head_.exchange(nullptr, std::memory_order_acquire);
        posted_work* oldest = nullptr;
        while (newest != nullptr) {
            posted_work* next = newest->next_;
            newest->next_ = oldest;
            oldest = newest;
            newest = next;
        }
        return oldest;
    }
    posted_work* take_from_here() noexcept {
        end_of_here_ = &here_;
        return std::exchange(here_, nullptr);
    }

    static void run(posted_work* oldest) noexcept {
        while (oldest != nullptr) {
            posted_work* next = oldest->next_;
            oldest->run();
            oldest = next;
        }
    }

    kernel& kernel_;
    int event_;
    posted_work* here_ = nullptr;
    posted_work** end_of_here_ = &here_;
    alignas(64) std::atomic<posted_work*> head_ = nullptr;
    std::atomic<bool> asleep_ = false;
};

} // namespace chainring
