// What other threads hand to an executor: a lock-free stack of work, turned into a queue by its one consumer,
// and the handshake that wakes a sleeping executor once.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/runtime/machine_memory.hpp>

#include <cassert>
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
    template <class> friend class inbox_over;
    posted_work* next_ = nullptr;
};

template <class Memory> class inbox_over {
  public:
    // Throws std::system_error when no eventfd can be had.
    explicit inbox_over(kernel& behind)
        : kernel_(behind)
        , event_(behind.open_event()) {
        if (event_ < 0) throw std::system_error(from_errno(-event_), "eventfd");
    }
    ~inbox_over() { kernel_.close(event_); }
    inbox_over(const inbox_over&) = delete;
    inbox_over& operator=(const inbox_over&) = delete;

    // Any thread, and signal handlers.
    void post(posted_work& work) noexcept {
        kernel_.about_to_post();
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
        return waiting_ == nullptr && head_.load(std::memory_order_seq_cst) == nullptr;
    }

    // By the executor's own thread, outside of signal handlers: without the price of an atomic operation.
    void post_here(posted_work& work) noexcept {
        work.next_ = nullptr;
        append(&work, &work.next_);
    }

    // Before a sleep, if another thread has posted since the last one: whether it posts again within some microseconds, which a
    // wake-up takes too. Where that came to nothing again and again it is tried only now and then.
    bool comes_soon() noexcept {
        if (!std::exchange(heard_, false)) return false;
        if (waiting_ != nullptr) return true; // the executor's own
        if (patience_ == 0 && ++unasked_ % tried_again_after != 0) return false;
        for (int look = 0; look < most_looks; ++look) {
            if (head_.load(std::memory_order_seq_cst) != nullptr) {
                patience_ = most_patience;
                return true;
            }
            Memory::pause();
        }
        if (patience_ != 0) --patience_;
        return false;
    }

    // From here on posts signal the event. The caller must look at `empty` once more before it sleeps:
    // whoever posted before saw nobody asleep.
    void about_to_sleep() noexcept { asleep_.store(true, std::memory_order_seq_cst); }
    // A poster that still saw the executor asleep signals the event for nothing, which costs one turn. None is
    // missed: the executor looks at the inbox again before it sleeps.
    void awake() noexcept { asleep_.store(false, std::memory_order_relaxed); }

    // In the order of posting. What is posted meanwhile waits for the next call. False: there was nothing.
    bool run_all() noexcept {
        take();
        running_ = take_all();
        const bool any = running_ != nullptr;
        while (running_ != nullptr) {
            posted_work* next = running_;
            running_ = next->next_;
            next->run();
        }
        return any;
    }

    // Takes back work that was posted and has not run, so that it may die. Walks all that waits.
    void withdraw(posted_work& work) noexcept {
        take();
        if (remove(running_, work)) return;
        posted_work** const behind = remove(waiting_, work);
        assert(behind != nullptr);
        if (*behind == nullptr) end_ = behind;
    }

  private:
    static constexpr int most_looks = 4 * Memory::most_looks;
    static constexpr unsigned most_patience = 8;
    static constexpr unsigned tried_again_after = 32;

    void append(posted_work* first, posted_work** end) noexcept {
        *end_ = first;
        end_ = end;
    }
    posted_work* take_all() noexcept {
        end_ = &waiting_;
        return std::exchange(waiting_, nullptr);
    }
    // Returns where it was linked, or nullptr.
    static posted_work** remove(posted_work*& first, posted_work& work) noexcept {
        for (posted_work** at = &first; *at != nullptr; at = &(*at)->next_) {
            if (*at != &work) continue;
            *at = work.next_;
            return at;
        }
        return nullptr;
    }

    // Appends what other threads have posted.
    void take() noexcept {
        if (head_.load(std::memory_order_relaxed) == nullptr) return;
        heard_ = true;
        posted_work* newest = head_.exchange(nullptr, std::memory_order_acquire);
        posted_work** const end = &newest->next_;
        posted_work* oldest = nullptr;
        while (newest != nullptr) {
            posted_work* next = newest->next_;
            newest->next_ = oldest;
            oldest = newest;
            newest = next;
        }
        append(oldest, end);
    }

    posted_work* waiting_ = nullptr; // in the order of posting
    posted_work** end_ = &waiting_;
    posted_work* running_ = nullptr;    // those that the current call has still to run
    bool heard_ = false;                // of another thread, since the last sleep
    unsigned patience_ = most_patience; // looks that may yet come to nothing
    unsigned unasked_ = 0;              // sleeps without a look
    // What posters need, in one cache line, and nothing else that the executor writes.
    alignas(64) typename Memory::template atomic<posted_work*> head_ = nullptr;
    typename Memory::template atomic<bool> asleep_ = false;
    kernel& kernel_;
    int event_;
};

using inbox = inbox_over<machine_memory>;

} // namespace chainring
