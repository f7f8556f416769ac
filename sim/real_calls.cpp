#include <chainring/sim/failure_lines.hpp>
#include <chainring/sim/real_calls.hpp>
#include <chainring/sim/refused_calls.hpp>
#include <chainring/sim/virtual_clock.hpp>
#include <chainring/sim/world.hpp>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace chainring::sim {

// Of one thread.
struct guarded_thread {
    void choose() noexcept;
    time_point now() const noexcept;
    [[noreturn]] void refuse(const std::string& why) const;

    // Linux reads it at each call of the thread.
    volatile char selector = 0;
    unsigned allowances = 0;
    bool sigsys_was_blocked = false;
    no_real_calls* latest = nullptr;
};

namespace {

constinit thread_local guarded_thread guarded_here;

} // namespace

#if defined(__x86_64__) && defined(PR_SET_SYSCALL_USER_DISPATCH)

namespace {

system_call call_of(const ucontext_t& interrupted) noexcept {
    const auto& registers = interrupted.uc_mcontext.gregs;
    const auto value = [&registers](int at) { return static_cast<std::uint64_t>(registers[at]); };
    return {
        registers[REG_RAX],
        {value(REG_RDI), value(REG_RSI), value(REG_RDX), value(REG_R10), value(REG_R8), value(REG_R9)}};
}

// Past libc, which would change errno.
long perform(const system_call& made) noexcept {
    long result = made.number;
    asm volatile("movq %[fourth], %%r10\n\t"
                 "movq %[fifth], %%r8\n\t"
                 "movq %[sixth], %%r9\n\t"
                 "syscall"
                 : "+a"(result)
                 : "D"(made.arguments[0]), "S"(made.arguments[1]),
                   "d"(made.arguments[2]), [fourth] "rm"(made.arguments[3]), [fifth] "rm"(made.arguments[4]),
                   [sixth] "rm"(made.arguments[5])
                 : "rcx", "r8", "r9", "r10", "r11", "memory");
    return result;
}

// The return from a signal handler undoes what the handler changes of these.
void keep_changes(const system_call& made, ucontext_t& interrupted) noexcept {
    constexpr std::uint64_t sigsys = std::uint64_t{1} << (SIGSYS - 1);
    if (made.number == SYS_sigaltstack)
        perform({SYS_sigaltstack, {0, reinterpret_cast<std::uint64_t>(&interrupted.uc_stack)}});
    if (made.number != SYS_rt_sigprocmask) return;
    // A thread that has blocked SIGSYS, as one does that has blocked all signals, would die of the next call.
    const auto unblock = [](std::uint64_t at) {
        std::uint64_t mask = 0;
        std::memcpy(&mask, reinterpret_cast<const void*>(at), sizeof(mask));
        mask &= ~sigsys;
        std::memcpy(reinterpret_cast<void*>(at), &mask, sizeof(mask));
    };
    const auto later = reinterpret_cast<std::uint64_t>(&interrupted.uc_sigmask);
    perform({SYS_rt_sigprocmask, {SIG_BLOCK, 0, later, sizeof(std::uint64_t)}});
    unblock(later);
    if (made.arguments[2] != 0) unblock(made.arguments[2]);
}

struct sigaction before_ours{};
constinit std::mutex installing;

void call_earlier_handler(int signal, siginfo_t* info, void* context) {
    if ((before_ours.sa_flags & SA_SIGINFO) != 0) return before_ours.sa_sigaction(signal, info, context);
    if (before_ours.sa_handler == SIG_IGN) return;
    if (before_ours.sa_handler != SIG_DFL) return before_ours.sa_handler(signal);
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

// Linux has sent a call back that the thread was about to make. Nobody makes one of those that are refused while holding a lock of
// malloc or stdio, which the telling of it needs.
void call_came_back(int signal, siginfo_t* info, void* context) {
    constexpr int by_dispatch = 2; // SYS_USER_DISPATCH, not in every libc
    guarded_thread& thread = guarded_here;
    const char before = thread.selector;
    thread.selector = SYSCALL_DISPATCH_FILTER_ALLOW;
    if (info->si_code != by_dispatch) {
        call_earlier_handler(signal, info, context);
        thread.selector = before;
        return;
    }
    auto& interrupted = *static_cast<ucontext_t*>(context);
    const system_call made = call_of(interrupted);
    const std::optional<long> told = answer_of_clock(made, thread.now());
    if (!told) {
        if (const std::string refusal = refusal_of(made); !refusal.empty()) thread.refuse(refusal);
    }
    if (made.number == SYS_exit_group) tell_how_to_repeat();
    const long result = told ? *told : perform(made);
    interrupted.uc_mcontext.gregs[REG_RAX] = result;
    if (result == 0) keep_changes(made, interrupted);
    thread.selector = before;
}

// As Linux knows it.
struct known_action {
    void (*handler)(int, siginfo_t*, void*) = nullptr;
    unsigned long flags = 0;
    std::uint64_t way_back = 0; // where libc's handlers return
    std::uint64_t mask = 0;
};

known_action action_of_sigsys() {
    known_action found;
    ::syscall(SYS_rt_sigaction, SIGSYS, nullptr, &found, sizeof(found.mask));
    return found;
}

// Of the process: the worlds of several threads share it, and it stays. Returns where handlers return.
std::uint64_t install_handler() {
    if (const known_action now = action_of_sigsys(); now.handler == call_came_back) return now.way_back;
    const std::scoped_lock one_at_a_time(installing);
    struct sigaction ours{};
    ours.sa_sigaction = call_came_back;
    ours.sa_flags = SA_SIGINFO;
    struct sigaction earlier{};
    ::sigaction(SIGSYS, &ours, &earlier);
    if ((earlier.sa_flags & SA_SIGINFO) == 0 || earlier.sa_sigaction != call_came_back) before_ours = earlier;
    return action_of_sigsys().way_back;
}

bool set_sigsys_blocked(bool blocked) {
    sigset_t only;
    sigset_t before;
    ::sigemptyset(&only);
    ::sigaddset(&only, SIGSYS);
    ::pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &only, &before);
    return ::sigismember(&before, SIGSYS) == 1;
}

bool dispatch_works() {
    const char* const allowed = std::getenv("CHAINRING_SIM_REAL_CALLS");
    if (allowed != nullptr && std::string_view(allowed) == "1") return false;
    // Its own calls would come back too, and end it.
    const char* const preloaded = std::getenv("LD_PRELOAD");
    if (preloaded != nullptr && std::strstr(preloaded, "vgpreload") != nullptr) return false;
    char selector = SYSCALL_DISPATCH_FILTER_ALLOW;
    const bool works = ::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) == 0;
    ::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
    return works;
}

void begin_dispatch(guarded_thread& thread) {
    if (!no_real_calls::possible()) return;
    read_clocks_by_calls();
    const std::uint64_t way_back = install_handler();
    thread.sigsys_was_blocked = set_sigsys_blocked(false);
    // No handler could return by a call that comes back. It is two instructions.
    constexpr unsigned long bytes = 16;
    ::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, way_back, bytes, &thread.selector);
}

void end_dispatch(const guarded_thread& thread) {
    if (!no_real_calls::possible()) return;
    ::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
    if (thread.sigsys_was_blocked) set_sigsys_blocked(true);
}

} // namespace

bool no_real_calls::possible() noexcept {
    static const bool found = dispatch_works();
    return found;
}

#else

namespace {

void begin_dispatch(guarded_thread&) {}
void end_dispatch(const guarded_thread&) {}

} // namespace

bool no_real_calls::possible() noexcept {
    return false;
}

#endif

void guarded_thread::choose() noexcept {
    const bool refusing = latest != nullptr && allowances == 0;
    selector = refusing ? 1 : 0; // SYSCALL_DISPATCH_FILTER_BLOCK, _ALLOW
}

time_point guarded_thread::now() const noexcept {
    return latest->world_.now();
}

void guarded_thread::refuse(const std::string& why) const {
    latest->world_.fail(why);
}

no_real_calls::no_real_calls(world& within)
    : world_(within)
    , thread_(guarded_here)
    , before_(thread_.latest) {
    if (before_ == nullptr) begin_dispatch(thread_);
    thread_.latest = this;
    thread_.choose();
}

no_real_calls::~no_real_calls() {
    no_real_calls** at = &thread_.latest;
    while (*at != this) at = &(*at)->before_;
    *at = before_;
    thread_.choose();
    if (thread_.latest == nullptr) end_dispatch(thread_);
}

allow_real_calls::allow_real_calls() noexcept {
    ++guarded_here.allowances;
    guarded_here.choose();
}

allow_real_calls::~allow_real_calls() {
    --guarded_here.allowances;
    guarded_here.choose();
}

} // namespace chainring::sim
