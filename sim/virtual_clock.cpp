#include <chainring/runtime/owned_descriptor.hpp>
#include <chainring/sim/virtual_clock.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <mutex>

namespace chainring::sim {

#if defined(__x86_64__)

namespace {

using zone = struct timezone; // there is a function of that name

struct function_of_vdso {
    const char* name;
    std::uint32_t call;
};

constexpr function_of_vdso readings[] = {
    {"__vdso_clock_gettime", SYS_clock_gettime},
    {"__vdso_gettimeofday", SYS_gettimeofday},
    {"__vdso_time", SYS_time},
};

// movl $call, %eax; syscall; ret. Eight bytes, which a thread beside sees all at once.
std::uint64_t code_that_makes(std::uint32_t call) {
    const unsigned char bytes[] = {
        0xb8, static_cast<unsigned char>(call), static_cast<unsigned char>(call >> 8), 0, 0, 0x0f, 0x05,
        0xc3};
    std::uint64_t code = 0;
    std::memcpy(&code, bytes, sizeof(code));
    return code;
}

// Through /proc, as a debugger does: Linux refuses to make these pages writable.
void replace_all() {
    void* const vdso = ::dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (vdso == nullptr) return;
    const owned_descriptor memory(::open("/proc/self/mem", O_RDWR | O_CLOEXEC));
    for (const auto& [name, call] : readings) {
        void* const function = ::dlsym(vdso, name);
        if (function == nullptr || !memory) continue;
        const std::uint64_t code = code_that_makes(call);
        (void)!::pwrite(
            memory.get(), &code, sizeof(code), static_cast<off_t>(reinterpret_cast<std::intptr_t>(function)));
    }
    ::dlclose(vdso);
}

// The others count the work of a processor, and of a thread or process.
bool tells_time(std::uint64_t clock) {
    switch (static_cast<clockid_t>(clock)) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
    case CLOCK_TAI: return true;
    default: return false;
    }
}

template <class T> void store(const system_call& made, int argument, const T& value) {
    if (auto* const wanted = made.pointer<T>(argument); wanted != nullptr) *wanted = value;
}

} // namespace

void read_clocks_by_calls() {
    static std::once_flag done;
    std::call_once(done, replace_all);
}

std::optional<long> answer_of_clock(const system_call& made, time_point now) noexcept {
    using namespace std::chrono;
    const auto since = now.time_since_epoch();
    const time_t whole = duration_cast<seconds>(since).count();
    const long rest = (since % seconds(1)).count();
    switch (made.number) {
    case SYS_clock_gettime:
        if (!tells_time(made.arguments[0])) return std::nullopt;
        store(made, 1, timespec{.tv_sec = whole, .tv_nsec = rest});
        return 0;
    case SYS_gettimeofday:
        store(made, 0, timeval{.tv_sec = whole, .tv_usec = rest / 1000});
        store(made, 1, zone{});
        return 0;
    case SYS_time: store(made, 0, whole); return whole;
    default: return std::nullopt;
    }
}

#else

void read_clocks_by_calls() {}

std::optional<long> answer_of_clock(const system_call&, time_point) noexcept {
    return std::nullopt;
}

#endif

} // namespace chainring::sim
