#include <chainring/runtime/stop_signals.hpp>

#include <signal.h>

#include <array>
#include <atomic>
#include <stdexcept>

namespace chainring {

namespace {

constexpr std::array stopping = {SIGINT, SIGTERM};

// A handler can reach only what outlives every object, hence one static state.
class stop_request final : public posted_work {
  public:
    void run() noexcept override { home_->root_scope().cancel(); }

    void install(executor& stopped) {
        if (executor* none = nullptr; !stopped_.compare_exchange_strong(none, &stopped))
            throw std::logic_error("two runtimes of one process handle SIGINT and SIGTERM");
        home_ = &stopped;
        first_at_.store(none_yet);
        struct sigaction action{};
        action.sa_handler = [](int signal) { instance().arrived(signal); };
        action.sa_flags = SA_RESTART;
        sigemptyset(&action.sa_mask);
        for (std::size_t at = 0; at < stopping.size(); ++at) sigaction(stopping[at], &action, &before_[at]);
        installed_ = true;
    }

    void uninstall() noexcept {
        restore();
        // In this order: a handler that has counted itself either is waited for or finds nobody to stop.
        stopped_.store(nullptr);
        while (handlers_running_.load() != 0) {
        } // on another thread, for a few instructions
        if (first_at_.load() != none_yet)
            home_->run_posts(); // it must be in no inbox when the next runtime installs it
        home_ = nullptr;
    }

    static stop_request& instance() noexcept {
        static constinit stop_request request;
        return request;
    }

  private:
    static constexpr duration::rep none_yet = -1;

    // In a signal handler. The executor may hang in a task: a second signal must not need it.
    void arrived(int signal) noexcept {
        constexpr duration duplicates = std::chrono::milliseconds(100);
        handlers_running_.fetch_add(1);
        if (executor* stopped = stopped_.load(); stopped != nullptr) {
            const duration now = std::chrono::steady_clock::now().time_since_epoch();
            duration::rep first = none_yet;
            if (first_at_.compare_exchange_strong(first, now.count()))
                stopped->post(*this);
            else if (now - duration(first) > duplicates)
                pass_on(signal);
        }
        handlers_running_.fetch_sub(1);
    }

    // It is raised again when this handler returns.
    void pass_on(int signal) noexcept {
        for (std::size_t at = 0; at < stopping.size(); ++at)
            if (stopping[at] == signal) sigaction(signal, &before_[at], nullptr);
        ::raise(signal);
    }

    void restore() noexcept {
        if (!std::exchange(installed_, false)) return;
        for (std::size_t at = 0; at < stopping.size(); ++at) sigaction(stopping[at], &before_[at], nullptr);
    }

    std::atomic<executor*> stopped_ = nullptr;
    std::atomic<duration::rep> first_at_ = none_yet; // nanoseconds on the monotonic clock
    std::atomic<int> handlers_running_ = 0;
    executor* home_ = nullptr; // for its own thread
    bool installed_ = false;
    std::array<struct sigaction, stopping.size()> before_{};
};

} // namespace

stop_signals::stop_signals(executor& stopped) {
    stop_request::instance().install(stopped);
}
stop_signals::~stop_signals() {
    stop_request::instance().uninstall();
}

} // namespace chainring
