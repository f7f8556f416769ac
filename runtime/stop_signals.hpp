// SIGINT and SIGTERM shut an executor down. The first one does; a second one is for what handled the signal
// before, and so ends a program that does not stop. One that follows within a tenth of a second is a duplicate
// and changes nothing: supervisors signal a process and then its group. One that is ignored stays ignored.
#pragma once

#include <chainring/runtime/graceful_shutdown.hpp>
#include <chainring/runtime/signal_handlers.hpp>

#include <atomic>
#include <functional>

namespace chainring {

class stop_signals final : private signal_receiver, private posted_work {
  public:
    // Throws std::logic_error if something in the process handles one of them already, but for a handler that the
    // program has installed itself: that one is put back at the end.
    // `also` is called on the executor's thread when the shutdown has begun.
    explicit stop_signals(
        executor& stopped, const shutdown_limits& limits = {}, std::function<void()> also = {});
    ~stop_signals();
    stop_signals(const stop_signals&) = delete;
    stop_signals& operator=(const stop_signals&) = delete;

  private:
    static constexpr duration::rep none_yet = -1;

    void arrived(int signal) noexcept override;
    void run() noexcept override {
        shutdown_.begin();
        if (also_) also_();
    }

    executor& home_;
    graceful_shutdown shutdown_;
    std::function<void()> also_;
    std::atomic<duration::rep> first_at_ = none_yet; // nanoseconds on the monotonic clock
    signal_handlers handlers_;
};

} // namespace chainring
