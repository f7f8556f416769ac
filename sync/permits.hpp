// permits: so many of something, handed out in the order of asking. What a mutex (one), a semaphore (some) and a shared mutex
// (one for a reader, all for a writer) have in common.
//
//     free     -> taken    one atomic operation, without the lock, while nobody waits
//     taken    -> awaited  from here on everything is done with the lock, and all who ask stand in line
//     awaited  -> free     by the one that lets the last of the line go
#pragma once

#include <chainring/sync/lone_atomic.hpp>
#include <chainring/sync/queued_operation.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace chainring {

class permit_request : public queued {
  public:
    std::uint32_t count() const noexcept { return count_; }

  protected:
    explicit permit_request(std::uint32_t count) noexcept
        : count_(count) {}
    permit_request(permit_request&&) noexcept = default;
    ~permit_request() = default;

  private:
    std::uint32_t count_;
};

// The count and the line. Atomic: another one in tests, which try every order of its operations.
template <template <class> class Atomic> class permit_line {
  public:
    permit_line(monitor& of, const char* primitive, std::uint32_t available, std::uint32_t most) noexcept
        : word_(std::uint64_t{available} * one)
        , most_(most)
        , waiting_(of, primitive) {}

    // Without the lock.

    // False: there are not so many, or somebody waits.
    bool try_take(std::uint32_t count) noexcept {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        while ((seen & awaited) == 0 && seen / one >= count) {
            const std::uint64_t rest = seen - std::uint64_t{count} * one;
            if (word_.compare_exchange_weak(seen, rest, std::memory_order_acquire, std::memory_order_relaxed))
                return true;
        }
        return false;
    }
    // False: somebody waits.
    bool try_give(std::uint32_t count) noexcept {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        while ((seen & awaited) == 0) {
            if (word_.compare_exchange_weak(
                    seen, sum(seen / one, count) * one, std::memory_order_release, std::memory_order_relaxed))
                return true;
        }
        return false;
    }
    std::uint32_t available() const noexcept {
        return static_cast<std::uint32_t>(word_.load(std::memory_order_relaxed) / one);
    }

    // With the lock.

    // False: it stands in line.
    bool take_or_wait(permit_request& wanted) noexcept {
        std::uint64_t there = close();
        const bool taken = waiting_.empty() && there >= wanted.count();
        if (taken)
            there -= wanted.count();
        else
            waiting_.push_back(wanted);
        open(there);
        return taken;
    }
    void give(std::uint32_t count) noexcept { serve(sum(close(), count)); }
    // Somebody has left the line.
    void left() noexcept { serve(close()); }

  private:
    static constexpr std::uint64_t awaited = 1; // a bit of the word, the others count
    static constexpr std::uint64_t one = 2;

    std::uint64_t sum(std::uint64_t there, std::uint32_t more) const noexcept {
        return std::min(there + more, std::uint64_t{most_});
    }
    // How many there are. Whoever comes without the lock now finds the line awaited, and changes nothing.
    std::uint64_t close() noexcept { return word_.fetch_or(awaited, std::memory_order_acquire) / one; }
    void open(std::uint64_t there) noexcept {
        word_.store(there * one + (waiting_.empty() ? 0 : awaited), std::memory_order_release);
    }
    void serve(std::uint64_t there) noexcept {
        while (!waiting_.empty() && waiting_.front().count() <= there) {
            there -= waiting_.front().count();
            waiting_.pop_front().let_go({});
        }
        open(there);
    }

    Atomic<std::uint64_t> word_;
    std::uint32_t most_;
    wait_queue<permit_request> waiting_;
};

// More than `most` are never there: what is given beyond that is lost.
class permits final : private monitor {
  public:
    static constexpr std::uint32_t unlimited = 0x7fff'ffff;

    permits(const char* primitive, std::uint32_t available, std::uint32_t most) noexcept
        : line_(*this, primitive, available, most) {}

    bool try_take(std::uint32_t count) noexcept { return line_.try_take(count); }
    void give(std::uint32_t count) noexcept {
        if (line_.try_give(count)) [[likely]]
            return;
        const std::lock_guard hold(lock());
        line_.give(count);
    }
    std::uint32_t available() const noexcept { return line_.available(); }

  private:
    friend class acquire_operation;
    void left() noexcept override { line_.left(); }

    permit_line<detail::lone_atomic> line_;
};

// What a task holds of a mutex, a shared mutex or a semaphore, until it is destroyed or released; on any thread.
class [[nodiscard("it is given back at once")]] permit {
  public:
    permit() noexcept = default; // of nothing
    permit(permits& of, std::uint32_t count) noexcept
        : of_(&of)
        , count_(count) {}
    permit(permit&& other) noexcept
        : of_(std::exchange(other.of_, nullptr))
        , count_(other.count_) {}
    permit& operator=(permit&& other) noexcept {
        permit taken(std::move(other));
        std::swap(of_, taken.of_);
        std::swap(count_, taken.count_);
        return *this;
    }
    ~permit() { release(); }

    explicit operator bool() const noexcept { return of_ != nullptr; }
    void release() noexcept {
        if (permits* const of = std::exchange(of_, nullptr)) of->give(count_);
    }
    // It is not given back: by nobody, or by somebody else.
    void forget() noexcept { of_ = nullptr; }

  private:
    friend class condition;
    permits* of_ = nullptr;
    std::uint32_t count_ = 0;
};

class [[nodiscard("co_await it")]] acquire_operation
    : public queued_operation<acquire_operation, permit_request> {
  public:
    acquire_operation(permits& of, std::uint32_t count, const char* what) noexcept
        : queued_operation(static_cast<monitor&>(of), count)
        , of_(of)
        , what_(what) {}
    acquire_operation(acquire_operation&&) noexcept = default;
    ~acquire_operation() {
        if (end()) [[unlikely]]
            of_.give(count());
    }

    bool try_at_once() noexcept { return of_.try_take(count()) && completes(); }
    bool start(executor& home) noexcept {
        const std::lock_guard hold(of_.lock());
        return of_.line_.take_or_wait(*this) ? !completes() : waits(home);
    }
    void describe(task_tree& to) const override { to.waits(what_); }
    result<permit> await_resume() noexcept {
        if (const fault refused = take_outcome()) return failure(refused);
        return permit(of_, count());
    }

  private:
    permits& of_;
    const char* what_;
};

} // namespace chainring
