#include <chainring/runtime/signal_handlers.hpp>

#include <signal.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>

namespace chainring {

namespace {

constexpr int most_signals = 65;

// A handler can reach only what outlives every object, hence static state.
struct handled_signal {
    std::atomic<signal_receiver*> receiver = nullptr;
    std::atomic<bool> passed_on = false;
    struct sigaction before{};
};

constinit std::array<handled_signal, most_signals> handled{};
constinit std::atomic<int> handlers_running = 0;
constinit std::mutex installing;

void arrived(int signal) {
    const int error = errno;
    // In this order: whoever has taken the receiver away waits for this handler, or it finds none.
    handlers_running.fetch_add(1);
    if (signal_receiver* receiver = handled[static_cast<std::size_t>(signal)].receiver.load())
        receiver->arrived(signal);
    handlers_running.fetch_sub(1);
    errno = error;
}

// The program would go on where the fault was.
bool is_fault(int signal) noexcept {
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL;
}

bool is_default(const struct sigaction& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) == 0 &&
           (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN);
}

// Nobody who blocks a signal wants it handled: signalfd(2) and sigwait(3) have it that way.
bool is_blocked(int signal) noexcept {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    return sigismember(&blocked, signal) == 1;
}

} // namespace

result<void>
signal_handlers::install(const std::vector<int>& signals, signal_receiver& receiver, foreign others) {
    const std::lock_guard lock(installing);
    struct sigaction action{};
    action.sa_handler = arrived;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    fault refused;
    if (signals.empty()) refused = fault::from_errno(EINVAL);
    for (const int signal : signals) {
        struct sigaction before{};
        if (signal < 1 || signal >= most_signals || is_fault(signal) ||
            sigaction(signal, nullptr, &before) != 0) {
            refused = fault::from_errno(EINVAL);
            break;
        }
        handled_signal& entry = handled[static_cast<std::size_t>(signal)];
        if (entry.receiver.load() == &receiver) continue; // named twice
        const bool is_anothers = !is_default(before) || is_blocked(signal);
        if (entry.receiver.load() != nullptr || (others == foreign::refuse && is_anothers)) {
            refused = errc::signal_taken;
            break;
        }
        entry.before = before;
        entry.passed_on.store(false);
        entry.receiver.store(&receiver);
        signals_.push_back(signal);
        if (sigaction(signal, &action, nullptr) != 0) { // SIGKILL and SIGSTOP
            refused = fault::from_errno(EINVAL);
            break;
        }
    }
    if (!refused) return {};
    uninstall();
    return failure(refused);
}

void signal_handlers::uninstall() noexcept {
    for (const int signal : std::exchange(signals_, {})) {
        handled_signal& entry = handled[static_cast<std::size_t>(signal)];
        if (!entry.passed_on.load()) sigaction(signal, &entry.before, nullptr);
        entry.receiver.store(nullptr);
    }
    while (handlers_running.load() != 0) {
    } // on another thread, for a few instructions
}

void signal_handlers::pass_on(int signal) noexcept {
    handled_signal& entry = handled[static_cast<std::size_t>(signal)];
    entry.passed_on.store(true);
    sigaction(signal, &entry.before, nullptr);
    ::raise(signal); // it arrives when the handler that runs returns
}

} // namespace chainring
