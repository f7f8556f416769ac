// Every order in which a few threads can carry out their atomic operations: a model checker for lock-free code, which is
// compiled with `model_memory` in place of machine_memory. Threads are stacks of one real thread, which are switched before each
// operation; sim::explore decides to whom, depth first over all decisions.
//
// Stores are buffered as on x86 (TSO): one that is not sequentially consistent is seen by the others at any time between itself
// and the thread's next read-modify-write, lock or fence. Loads are not put off, nor are stores to different places exchanged:
// that acquire and release suffice where other processors do that is for ThreadSanitizer to judge. What is not atomic is seen at
// once.
#pragma once

#include <chainring/sim/exhaustive.hpp>

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
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
        while (std::optional<step_of> next = pick(last)) {
            if (next->writes) {
                next->by->write_out_one();
                continue;
            }
            last = current_ = next->by;
            swapcontext(&scheduler_, &current_->context);
            current_ = nullptr;
        }
        running_now_ = nullptr;
        return std::ranges::all_of(threads_, [](const auto& each) { return each->ended; });
    }

    // By the threads; outside of `run` they do nothing.

    // Others may run, before this thread looks at what is `at`.
    static void step(const void* at = nullptr) {
        if (thread* const self = running()) {
            self->looks_at = at;
            running_now_->leave();
        }
    }
    // Goes on when `may_go_on()`, which only the threads change.
    static void wait_until(std::function<bool()> may_go_on) {
        thread* const self = running();
        if (self == nullptr) return;
        self->looks_at = nullptr;
        self->may_go_on = std::move(may_go_on);
        running_now_->leave();
        self->may_go_on = nullptr;
    }
    // An address, another one outside of `run`.
    static const void* this_thread() noexcept {
        static const char outside = 0;
        const thread* const self = running();
        return self != nullptr ? static_cast<const void*>(self) : &outside;
    }
    // All that the thread has stored is seen by the others.
    static void fence() {
        if (thread* const self = running()) self->write_out();
    }
    static void fence_everywhere() {
        step();
        if (running_now_ == nullptr) return;
        for (const auto& each : running_now_->threads_) each->write_out();
    }
    // False: there is no thread that could delay it.
    static bool store_later(void* at, std::uint64_t value, void (*write)(void*, std::uint64_t)) {
        thread* const self = running();
        if (self == nullptr) return false;
        self->stores.push_back({at, value, write});
        return true;
    }
    // What the thread itself has stored there last, if that is not written yet.
    static std::optional<std::uint64_t> stored_last(const void* at) {
        if (const thread* const self = running()) {
            for (std::size_t i = self->stores.size(); i-- > 0;)
                if (self->stores[i].at == at) return self->stores[i].value;
        }
        return std::nullopt;
    }

  private:
    struct buffered_store {
        void* at;
        std::uint64_t value;
        void (*write)(void*, std::uint64_t);
    };

    struct thread {
        explicit thread(std::function<void()> given)
            : body(std::move(given))
            , stack(take_stack()) {
            getcontext(&context);
            context.uc_stack.ss_sp = stack.get();
            context.uc_stack.ss_size = stack_size;
            context.uc_link = nullptr;
            makecontext(&context, &interleaving::begin, 0);
        }
        ~thread() { stacks_.push_back(std::move(stack)); }
        static std::unique_ptr<char[]> take_stack() {
            if (stacks_.empty()) return std::make_unique_for_overwrite<char[]>(stack_size);
            std::unique_ptr<char[]> taken = std::move(stacks_.back());
            stacks_.pop_back();
            return taken;
        }
        bool runnable() const { return !ended && (!may_go_on || may_go_on()); }
        void write_out_one() {
            const buffered_store oldest = stores.front();
            stores.erase(stores.begin());
            oldest.write(oldest.at, oldest.value);
        }
        void write_out() {
            while (!stores.empty()) write_out_one();
        }

        static constexpr std::size_t stack_size = std::size_t{64} * 1024;
        std::function<void()> body;
        std::unique_ptr<char[]> stack;
        ucontext_t context{};
        std::function<bool()> may_go_on; // empty: always
        const void* looks_at = nullptr;
        std::vector<buffered_store> stores; // that nobody else sees yet
        bool ended = false;
    };

    struct step_of {
        thread* by;
        bool writes; // the oldest of what it has stored
    };

    static thread* running() { return running_now_ != nullptr ? running_now_->current_ : nullptr; }

    static void begin() {
        interleaving& all = *running_now_;
        all.current_->body();
        all.current_->ended = true;
        all.leave();
    }
    void leave() { swapcontext(&current_->context, &scheduler_); }

    // When a store is written matters only to one that is about to look there, or waits for something.
    bool noticed_if_written(const thread& by) const {
        return std::ranges::any_of(threads_, [&](const auto& other) {
            if (other.get() == &by || other->ended) return false;
            return !other->runnable() || std::ranges::any_of(by.stores, [&](const buffered_store& each) {
                return other->looks_at == each.at;
            });
        });
    }

    std::optional<step_of> pick(thread* last) {
        std::vector<step_of> able;
        const bool last_able = last != nullptr && last->runnable();
        if (last_able) able.push_back({last, false});
        if (!last_able || preemptions_left_ != 0) {
            for (const auto& each : threads_)
                if (each.get() != last && each->runnable()) able.push_back({each.get(), false});
        }
        const bool all_ended = able.empty();
        for (const auto& each : threads_)
            if (!each->stores.empty() && (all_ended || noticed_if_written(*each)))
                able.push_back({each.get(), true});
        if (able.empty()) return std::nullopt;
        const step_of picked =
            able[world_.choose(static_cast<std::uint32_t>(able.size()), "the thread that goes on")];
        if (last_able && !picked.writes && picked.by != last) --preemptions_left_;
        return picked;
    }

    sim::world& world_;
    unsigned preemptions_left_;
    std::vector<std::unique_ptr<thread>> threads_;
    ucontext_t scheduler_{};
    thread* current_ = nullptr;

    static inline interleaving* running_now_ = nullptr;
    static inline std::vector<std::unique_ptr<char[]>> stacks_; // of threads that were
};

// Eight bytes at most.
template <class T> class model_atomic {
  public:
    model_atomic(T value) noexcept // NOLINT(google-explicit-constructor): as std::atomic's
        : value_(value) {}

    T load(std::memory_order) const {
        interleaving::step(this);
        if (const auto own = interleaving::stored_last(this)) return from_bits(*own);
        return value_;
    }
    void store(T value, std::memory_order order) {
        if (order == std::memory_order_seq_cst) {
            change(value);
            return;
        }
        interleaving::step(this); // what follows the load before it may come late
        if (!interleaving::store_later(this, to_bits(value), &write)) value_ = value;
    }
    T exchange(T value, std::memory_order) { return change(value); }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order, std::memory_order) {
        T& value = for_change();
        if (value != expected) {
            expected = value;
            return false;
        }
        value = desired;
        return true;
    }

  private:
    T& for_change() {
        interleaving::step(this);
        interleaving::fence();
        return value_;
    }
    T change(T value) { return std::exchange(for_change(), value); }

    static std::uint64_t to_bits(T value) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, static_cast<const void*>(&value), sizeof(T));
        return bits;
    }
    static T from_bits(std::uint64_t bits) {
        T value{};
        std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
        return value;
    }
    static void write(void* at, std::uint64_t bits) {
        static_cast<model_atomic*>(at)->value_ = from_bits(bits);
    }

    T value_;
};

class model_mutex {
  public:
    void lock() {
        interleaving::step(this);
        if (held_) interleaving::wait_until([this] { return !held_; });
        interleaving::fence();
        held_ = true;
    }
    bool try_lock() {
        interleaving::step(this);
        if (held_) return false;
        interleaving::fence();
        held_ = true;
        return true;
    }
    void unlock() {
        interleaving::fence();
        held_ = false;
    }

  private:
    bool held_ = false;
};

struct model_memory {
    template <class T> using atomic = model_atomic<T>;
    using mutex = model_mutex;
    static void fence_here() noexcept {} // for the compiler only
    static void fence_everywhere() { interleaving::fence_everywhere(); }
    static bool has_fence_everywhere() noexcept { return true; }
    static constexpr std::uint32_t fence_is_worth = 0;
    static const void* this_thread() noexcept { return interleaving::this_thread(); }
    static constexpr int most_looks = 0;
    static void pause() noexcept {}
    static void wait_until(std::function<bool()> holds) { interleaving::wait_until(std::move(holds)); }
};

// Wrong on purpose, for checks that must fail: two operations each, with others between them, ...
template <class T> class torn_exchange : public model_atomic<T> {
  public:
    using model_atomic<T>::model_atomic;
    T exchange(T value, std::memory_order order) {
        const T seen = this->load(order);
        this->store(value, std::memory_order_seq_cst);
        return seen;
    }
};
template <class T> class torn_compare_exchange : public model_atomic<T> {
  public:
    using model_atomic<T>::model_atomic;
    bool compare_exchange_weak(T& expected, T desired, std::memory_order order, std::memory_order) {
        const T seen = this->load(order);
        if (seen != std::exchange(expected, seen)) return false;
        this->store(desired, std::memory_order_seq_cst);
        return true;
    }
};
// ... and a sequentially consistent store that is none.
template <class T> class late_store : public model_atomic<T> {
  public:
    using model_atomic<T>::model_atomic;
    void store(T value, std::memory_order) { model_atomic<T>::store(value, std::memory_order_release); }
};

template <template <class> class Atomic> struct memory_of : model_memory {
    template <class T> using atomic = Atomic<T>;
};

} // namespace chainring::test
