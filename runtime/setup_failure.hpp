// When there is no io_uring: who keeps it from this process, and what the user can do about it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace chainring {

struct setup_failure {
    enum class cause {
        seccomp,          // a filter of the container, the service manager or the sandbox
        sysctl_disabled,  // kernel.io_uring_disabled
        memlock,          // RLIMIT_MEMLOCK
        too_old,          // io_uring is there, but lacks what chainring needs
        no_support,       // no io_uring in this kernel, or in what plays the kernel
        descriptor_limit, // RLIMIT_NOFILE, or the whole machine's limit
        out_of_memory,    // of the machine or of the control group
        unknown,
    };

    int error = 0; // what io_uring_setup answered, as a positive errno
    cause why = cause::unknown;
    std::string text; // for the user: what stands in the way, and what to do about it
};

std::string_view to_string(setup_failure::cause why) noexcept;

// Where the restrictions of this process are written; tests put their own files here.
struct restriction_files {
    std::string io_uring_disabled = "/proc/sys/kernel/io_uring_disabled";
    std::string io_uring_group = "/proc/sys/kernel/io_uring_group";
    std::string status = "/proc/thread-self/status"; // a seccomp filter may hold for one thread only
    std::string limits = "/proc/self/limits";
};

// What may keep this process from io_uring. A member stays empty where its file cannot be read.
struct restrictions {
    std::optional<int> io_uring_disabled; // 0: free; 1: io_uring_group or CAP_SYS_ADMIN; 2: nobody. Linux 6.6
    bool in_io_uring_group = false;
    std::optional<bool> seccomp_filter;
    // CAP_SYS_ADMIN, which may be one of a user namespace and count for nothing.
    bool system_administrator = false;
    std::optional<bool> may_lock_memory;        // CAP_IPC_LOCK: RLIMIT_MEMLOCK does not hold
    std::optional<std::uint64_t> locked_memory; // bytes; the largest value: unlimited
    std::optional<std::uint64_t> descriptors;

    static constexpr std::uint64_t unlimited = UINT64_MAX;
};

restrictions read_restrictions(const restriction_files& files = {});

// `error` is the positive errno of io_uring_setup. Reads the files and changes nothing.
setup_failure diagnose_setup_failure(int error, const restriction_files& files = {});

} // namespace chainring
