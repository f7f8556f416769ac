// Every order in which a few threads can carry out their atomic operations: a model checker for lock-free code, which is
// compiled with `model_atomic` in place of std::atomic. Threads are stacks of one real thread, which are switched before each
// operation; sim::explore decides to whom, depth first over all decisions.
//
// What it tries is sequentially consistent. That weaker orders suffice is ThreadSanitizer's to judge.
#pragma once

#include <chainring/sim/exhaustive.hpp>

#include <ucontext.h>

#include <cassert>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

namespace chainring::test {

class interleaving {
  public:
    // `most_preemptions`: how often a thread that could go on does not.
    explicit interleaving(
        sim::world& deciding, unsigned most_preemptions = std::numeric_limits<unsigned>::max()) noexcept
        : world_(deciding)
        , preemptions_left_(most_preemptions) {}
    interleaving(const interleaving&) = delete;
    interleaving& operator=(const interleaving&) = delete;

    // Whatever `body` owns is forgotten if the threads come to a stop before its end.
    void add(std::function<void()> body) { threads_.push_back(std::make_unique<thread>(std::move(body))); }

    // False: some thread waits for ever.
    bool run() {
        running_now_ = this;
        thread* last = nullptr;
        for (;;) {
            thread* const next = pick(last);
            if (next == nullptr) break;
            last = next;
            current_ = next;
            swapcontext(&scheduler_, &next->context);
        }
        running_now_ = nullptr;
        for (const auto& each : threads_)
            if (!each->ended) return false;
        return true;
    }

    // By the threads.

    // Others may run.
    static void step() { running_now_->leave(); }
    // Goes on when `may_go_on()`, which only the threads change.
    static void wait_until(std::function<bool()> may_go_on) {
        running_now_->current_->may_go_on = std::move(may_go_on);
        running_now_->leave();
        running_now_->current_->may_go_on = nullptr;
    }

  private:
    struct thread {
        explicit thread(std::function<void()> given)
            : body(std::move(given))
            , stack(std::make_unique_for_overwrite<char[]>(stack_size)) {
            getcontext(&context);
            context.uc_stack.ss_sp = stack.get();
            context.uc_stack.ss_size = stack_size;
            context.uc_link = nullptr;
            makecontext(&context, &interleaving::begin, 0);
        }
        bool runnable() const { return !ended && (!may_go_on || may_go_on()); }

        static constexpr std::size_t stack_size = std::size_t{64} * 1024;
        std::function<void()> body;
        std::unique_ptr<char[]> stack;
        ucontext_t context{};
        std::function<bool()> may_go_on; // empty: always
        bool ended = false;
    };

    static void begin() {
        interleaving& all = *running_now_;
        all.current_->body();
        all.current_->ended = true;
        all.leave();
    }
    void leave() { swapcontext(&current_->context, &scheduler_); }

    thread* pick(thread* last) {
        std::vector<thread*> able;
        const bool last_able = last != nullptr && last->runnable();
        if (last_able) able.push_back(last);
        if (!last_able || preemptions_left_ != 0) {
            for (const auto& each : threads_)
                if (each.get() != last && each->runnable()) able.push_back(each.get());
        }
        if (able.empty()) return nullptr;
        thread* const picked =
            able[world_.choose(static_cast<std::uint32_t>(able.size()), "the thread that goes on")];
        if (last_able && picked != last) --preemptions_left_;
        return picked;
    }

    sim::world& world_;
    unsigned preemptions_left_;
    std::vector<std::unique_ptr<thread>> threads_;
    ucontext_t scheduler_{};
    thread* current_ = nullptr;

    static inline interleaving* running_now_ = nullptr;
};

template <class T> class model_atomic {
  public:
    explicit model_atomic(T value) noexcept
        : value_(value) {}

    T load(std::memory_order) const {
        interleaving::step();
        return value_;
    }
    void store(T value, std::memory_order) {
        interleaving::step();
        value_ = value;
    }
    T fetch_or(T bits, std::memory_order) {
        interleaving::step();
        return std::exchange(value_, value_ | bits);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order, std::memory_order) {
        interleaving::step();
        if (value_ != expected) {
            expected = value_;
            return false;
        }
        value_ = desired;
        return true;
    }

  protected:
    T value_;
};

class model_mutex {
  public:
    void lock() {
        interleaving::step();
        if (held_) interleaving::wait_until([this] { return !held_; });
        held_ = true;
    }
    void unlock() { held_ = false; }

  private:
    bool held_ = false;
};

} // namespace chainring::test
