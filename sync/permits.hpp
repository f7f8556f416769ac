// permits: so many of something, handed out in the order of asking. What a mutex (one), a semaphore (some) and a shared mutex
// (one for a reader, all for a writer) have in common.
#pragma once

#include <chainring/sync/permit_line.hpp>
#include <chainring/sync/queued_operation.hpp>

#include <cstdint>
#include <utility>

namespace chainring {

class permits final : private monitor {
  public:
    static constexpr std::uint32_t unlimited = 0x7fff'ffff;

    permits(const char* primitive, std::uint32_t available, std::uint32_t most) noexcept
        : line_(*this, primitive, available, most) {}

    bool try_take(std::uint32_t count) noexcept {
        const std::lock_guard hold(lock());
        return line_.try_take(count);
    }
    void give(std::uint32_t count) noexcept {
        const std::lock_guard hold(lock());
        line_.give(count);
    }
    std::uint32_t available() const noexcept {
        const std::lock_guard hold(lock());
        return line_.available();
    }

  private:
    friend class acquire_operation;
    void left() noexcept override { line_.serve(); }

    permit_line line_;
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
