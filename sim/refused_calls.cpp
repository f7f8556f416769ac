#include <chainring/sim/refused_calls.hpp>

#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

// Of a program with the sanitizers of GCC or Clang.
extern "C" __attribute__((weak)) void
__sanitizer_set_death_callback(void (*callback)()); // NOLINT(readability-identifier-naming)

namespace chainring::sim {

#if defined(__x86_64__)

namespace {

enum class real { time, socket, descriptors, ring, thread, process, end };

const char* name_of(real thing) {
    switch (thing) {
    case real::time: return "real time";
    case real::socket: return "a real socket";
    case real::descriptors: return "a wait for real descriptors";
    case real::ring: return "an io_uring of Linux";
    case real::thread: return "a thread";
    case real::process: return "a process";
    case real::end: return "the end of the process";
    }
    return "";
}

const char* instead_of(real thing) {
    switch (thing) {
    case real::time: return "; chainring::sleep takes virtual time";
    case real::socket: return "; the sockets of chainring are simulated";
    default: return "";
    }
}

const char* why_not(real thing) {
    return thing == real::end ? " does not end its test" : " is not repeatable";
}

// A call may be harmless with one of its arguments.
enum class unless {
    never,
    a_failure,       // an exit status that is not 0
    no_milliseconds, // an int of 0
    no_time,         // a pointer to a time of 0; without one it waits for ever
    no_limit,        // a null pointer
    no_socket,       // a descriptor of something else, or one of the three that a program begins with
};

struct real_call {
    long number;
    const char* name;
    real thing;
    unless harmless = unless::never;
    int argument = 0;
};

constexpr real_call real_calls[] = {
    // Of the clocks that virtual_clock.hpp has no answer for.
    {SYS_clock_gettime, "clock_gettime", real::time},
    {SYS_times, "times", real::time},
    {SYS_getrusage, "getrusage", real::time},
    {SYS_nanosleep, "nanosleep", real::time},
    {SYS_clock_nanosleep, "clock_nanosleep", real::time},
    {SYS_alarm, "alarm", real::time},
    {SYS_setitimer, "setitimer", real::time},
    {SYS_timer_create, "timer_create", real::time},
    {SYS_timerfd_create, "timerfd_create", real::time},
    {SYS_timerfd_settime, "timerfd_settime", real::time},
    {SYS_semtimedop, "semtimedop", real::time, unless::no_limit, 3},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", real::time, unless::no_time, 2},
    // A condition variable's wait_for. A lock that another thread holds is waited for.
    {SYS_futex, "futex", real::time, unless::no_limit, 3},

    {SYS_socket, "socket", real::socket},
    {SYS_socketpair, "socketpair", real::socket},
    {SYS_bind, "bind", real::socket},
    {SYS_listen, "listen", real::socket},
    {SYS_accept, "accept", real::socket},
    {SYS_accept4, "accept4", real::socket},
    {SYS_connect, "connect", real::socket},
    {SYS_sendto, "sendto", real::socket},
    {SYS_sendmsg, "sendmsg", real::socket},
    {SYS_sendmmsg, "sendmmsg", real::socket},
    {SYS_recvfrom, "recvfrom", real::socket},
    {SYS_recvmsg, "recvmsg", real::socket},
    {SYS_recvmmsg, "recvmmsg", real::socket},
    {SYS_shutdown, "shutdown", real::socket},
    {SYS_setsockopt, "setsockopt", real::socket},
    {SYS_getsockopt, "getsockopt", real::socket},
    {SYS_getsockname, "getsockname", real::socket},
    {SYS_getpeername, "getpeername", real::socket},
    {SYS_read, "read", real::socket, unless::no_socket},
    {SYS_readv, "readv", real::socket, unless::no_socket},
    {SYS_write, "write", real::socket, unless::no_socket},
    {SYS_writev, "writev", real::socket, unless::no_socket},

    {SYS_poll, "poll", real::descriptors, unless::no_milliseconds, 2},
    {SYS_ppoll, "ppoll", real::descriptors, unless::no_time, 2},
    {SYS_select, "select", real::descriptors, unless::no_time, 4},
    {SYS_pselect6, "pselect6", real::descriptors, unless::no_time, 4},
    {SYS_epoll_create, "epoll_create", real::descriptors},
    {SYS_epoll_create1, "epoll_create1", real::descriptors},
    {SYS_epoll_wait, "epoll_wait", real::descriptors, unless::no_milliseconds, 3},
    {SYS_epoll_pwait, "epoll_pwait", real::descriptors, unless::no_milliseconds, 3},
    {SYS_epoll_pwait2, "epoll_pwait2", real::descriptors, unless::no_time, 3},

    {SYS_io_uring_setup, "io_uring_setup", real::ring},
    {SYS_io_uring_enter, "io_uring_enter", real::ring},
    {SYS_io_uring_register, "io_uring_register", real::ring},

    // Those that are threads say so in their flags. A fork is none of these: it holds the locks of malloc while it makes its call, so
    // that nothing can be told then, and leaves the world to itself.
    {SYS_clone, "clone", real::process},
    {SYS_clone3, "clone3", real::process},
    {SYS_vfork, "vfork", real::process},
    {SYS_execve, "execve", real::process},
    {SYS_execveat, "execveat", real::process},
    // The test would count as one that has passed.
    {SYS_exit_group, "exit_group", real::end, unless::a_failure, 0},
};

bool is_a_socket(int descriptor) {
    struct stat found{};
    return descriptor > STDERR_FILENO && ::fstat(descriptor, &found) == 0 && S_ISSOCK(found.st_mode);
}

bool is_harmless(const system_call& made, const real_call& known) {
    switch (known.harmless) {
    case unless::never: return false;
    case unless::a_failure: return made.arguments[known.argument] != 0;
    case unless::no_milliseconds: return static_cast<int>(made.arguments[known.argument]) == 0;
    case unless::no_limit: return made.arguments[known.argument] == 0;
    case unless::no_socket: return !is_a_socket(static_cast<int>(made.arguments[known.argument]));
    case unless::no_time: {
        const auto* const limit =
            made.pointer<const timespec>(known.argument); // select's timeval has the same two
        return limit != nullptr && limit->tv_sec == 0 && limit->tv_nsec == 0;
    }
    }
    return false;
}

// What the futex wakes, or asks, carries a number where others have a limit.
bool is_a_wait(const system_call& made) {
    switch (static_cast<int>(made.arguments[1]) & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2: return true;
    default: return false;
    }
}

bool is_a_clone(const system_call& made) {
    return made.number == SYS_clone || made.number == SYS_clone3;
}

std::uint64_t flags_of_clone(const system_call& made) {
    return made.number == SYS_clone3 ? made.pointer<const clone_args>(0)->flags : made.arguments[0];
}

// A child on another stack cannot be made from the handler.
bool is_a_fork(const system_call& made) {
    if (!is_a_clone(made) || (flags_of_clone(made) & CLONE_VM) != 0) return false;
    return (made.number == SYS_clone3 ? made.pointer<const clone_args>(0)->stack : made.arguments[1]) == 0;
}

// libc sleeps by another number. A sanitizer that finds something starts a program that knows the lines, and waits for it.
bool is_a_sanitizers(const system_call& made) {
    return __sanitizer_set_death_callback != nullptr && made.number == SYS_nanosleep;
}

// nullptr: it passes.
const real_call* refused(const system_call& made) {
    for (const real_call& known : real_calls) {
        if (known.number != made.number) continue;
        if (made.number == SYS_futex && !is_a_wait(made)) return nullptr;
        const bool passes = is_harmless(made, known) || is_a_fork(made) || is_a_sanitizers(made);
        return passes ? nullptr : &known;
    }
    return nullptr;
}

} // namespace

std::string refusal_of(const system_call& made) {
    const real_call* const known = refused(made);
    if (known == nullptr) return {};
    const bool is_thread = is_a_clone(made) && (flags_of_clone(made) & CLONE_THREAD) != 0;
    const real thing = is_thread ? real::thread : known->thing;
    return std::string(name_of(thing)) + " (" + known->name + ") inside a simulated world" + why_not(thing) +
           instead_of(thing);
}

#else

std::string refusal_of(const system_call&) {
    return {};
}

#endif

} // namespace chainring::sim
