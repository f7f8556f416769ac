// signal_set: signals as something to wait for.
//
//     const std::vector<int> signals{SIGHUP};
//     auto reload = co_await cr::try_(cr::signal_set::open(signals));
//     while (co_await reload.next()) read_configuration();
//
// The signals are its own for as long as it lives; then whatever handled them before does so again. Signals of one
// number that arrive while nobody waits are one, as everywhere.
#pragma once

#include <chainring/runtime/operation.hpp>
#include <chainring/runtime/signal_handlers.hpp>

#include <atomic>
#include <memory>

namespace chainring {

namespace detail {

// Outlives its signal_set while it is in the inbox. It may outlive the executor, and hears of no signal any more then.
class signal_channel final : public signal_receiver, private posted_work, private resource {
  public:
    explicit signal_channel(executor& home) noexcept
        : home_(&home) {
        home.add(static_cast<resource&>(*this));
    }

    result<void> install(const std::vector<int>& signals) {
        return handlers_.install(signals, *this, signal_handlers::foreign::refuse);
    }
    // nullptr: it is gone.
    executor* home() const noexcept { return home_; }
    // The lowest that has arrived, once; 0: none.
    int take() noexcept;
    bool pending() const noexcept { return pending_.load() != 0; }
    waiter* waiting = nullptr;

    struct release {
        void operator()(signal_channel* released) const noexcept { released->close(); }
    };

  private:
    ~signal_channel() = default;
    void arrived(int signal) noexcept override;
    void run() noexcept override;
    void abandon() noexcept override;
    void count(holdings&) const noexcept override {}
    std::string describe(time_point now) const override;
    void close() noexcept;

    executor* home_;
    signal_handlers handlers_;
    std::atomic<std::uint64_t> pending_ = 0; // bit n: signal n + 1
    std::atomic<bool> posted_ = false;
    bool closed_ = false;
};

} // namespace detail

class [[nodiscard("co_await it")]] signal_operation : public operation<signal_operation> {
  public:
    explicit signal_operation(detail::signal_channel* from) noexcept
        : from_(from) {}
    signal_operation(signal_operation&&) = default;
    ~signal_operation() {
        if (from_ != nullptr && from_->waiting == this) from_->waiting = nullptr;
    }

    bool start(executor&) noexcept;
    void refuse(fault error) noexcept {
        from_ = nullptr;
        error_ = error;
    }
    void cancel() noexcept override;
    void describe(task_tree& to) const override { to.waits("a signal"); }
    result<int> await_resume() noexcept;

  private:
    detail::signal_channel* from_; // nullptr: closed
    fault error_;
};

// Move-only.
class signal_set {
  public:
    // Within a task. A signal that is named twice counts once, and one that was ignored so far is not any more.
    //
    // errors: errc::signal_taken when another signal_set, a runtime that stops on SIGINT and SIGTERM, or the program's
    //         own handler has one of them, or when this thread blocks it, as for signalfd(2); EINVAL for an empty set, for a number that is no signal, for SIGKILL and
    //         SIGSTOP, and for faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL); std::errc::operation_not_permitted outside of a task
    static result<signal_set> open(const std::vector<int>& signals);

    // completes when: one of the signals has arrived; at once if it has since the last call
    // value:          its number
    // errors:         errc::cancelled, errc::busy while another task waits, errc::closed of a set moved from, and of one
    //                 whose executor is gone
    // cancellation:   at once; no signal is lost
    // ownership:      the set must outlive it
    // thread:         the executor's
    signal_operation next() noexcept { return signal_operation(channel_.get()); }

  private:
    explicit signal_set(detail::signal_channel* channel) noexcept
        : channel_(channel) {}

    std::unique_ptr<detail::signal_channel, detail::signal_channel::release> channel_;
};

} // namespace chainring
