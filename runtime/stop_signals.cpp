#include <chainring/runtime/stop_signals.hpp>

#include <signal.h>

#include <stdexcept>
#include <utility>

namespace chainring {

namespace {

// Whoever started the program with a signal ignored wants it so: nohup, or a shell for what it runs in the background.
std::vector<int> without_ignored(const std::vector<int>& signals) {
    std::vector<int> heeded;
    for (const int signal : signals) {
        struct sigaction set{};
        sigaction(signal, nullptr, &set);
        if (set.sa_handler != SIG_IGN) heeded.push_back(signal);
    }
    return heeded;
}

} // namespace

stop_signals::stop_signals(executor& stopped, const shutdown_limits& limits, std::function<void()> also)
    : home_(stopped)
    , shutdown_(stopped, limits)
    , also_(std::move(also)) {
    const std::vector<int> heeded = without_ignored({SIGINT, SIGTERM});
    if (!heeded.empty() && !handlers_.install(heeded, *this, signal_handlers::foreign::replace))
        throw std::logic_error("something else in this process handles SIGINT or SIGTERM already");
}

stop_signals::~stop_signals() {
    handlers_.uninstall();
    if (first_at_.load() != none_yet) home_.run_posts(); // it must be in no inbox when it dies
}

// The executor may hang in a task: a second signal must not need it.
void stop_signals::arrived(int signal) noexcept {
    if (home_.forked()) { // the executor is the parent's
        signal_handlers::pass_on(signal);
        return;
    }
    constexpr duration duplicates = std::chrono::milliseconds(100);
    const duration now = std::chrono::steady_clock::now().time_since_epoch();
    duration::rep first = none_yet;
    if (first_at_.compare_exchange_strong(first, now.count()))
        home_.post(static_cast<posted_work&>(*this));
    else if (now - duration(first) > duplicates)
        signal_handlers::pass_on(signal);
}

} // namespace chainring
