#include <chainring/runtime/setup_failure.hpp>

#include <linux/capability.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <vector>

namespace chainring {

namespace {

using cause = setup_failure::cause;

constexpr std::string_view filter_remedy =
    "Run it under a profile that allows io_uring_setup, io_uring_enter and io_uring_register: "
    "docker run --security-opt seccomp=profile.json (or seccomp=unconfined, to try it out), in Kubernetes "
    "securityContext.seccompProfile, in a systemd unit SystemCallFilter=@aio.";

std::optional<std::string> read_file(const std::string& path) {
    std::ifstream file(path);
    if (!file) return std::nullopt;
    std::ostringstream text;
    text << file.rdbuf();
    return std::move(text).str();
}

std::optional<long long> to_number(std::string_view text, int base = 10) {
    const auto first = text.find_first_not_of(" \t");
    if (first == text.npos) return std::nullopt;
    text.remove_prefix(first);
    long long value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{}) return std::nullopt;
    return value;
}

std::optional<long long> read_number(const std::string& path) {
    const auto text = read_file(path);
    return text ? to_number(*text) : std::nullopt;
}

// What stands behind `label` on its line.
std::optional<std::string_view> field(std::string_view text, std::string_view label) {
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        if (line.starts_with(label)) return line.substr(label.size());
        text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
    return std::nullopt;
}

std::vector<long long> numbers(std::string_view text) {
    std::istringstream words{std::string(text)};
    return {std::istream_iterator<long long>(words), {}};
}

// The soft limit, which is the first column.
std::optional<std::uint64_t> limit(std::string_view limits, std::string_view label) {
    const auto columns = field(limits, label);
    if (!columns) return std::nullopt;
    const auto value = to_number(*columns);
    return value ? static_cast<std::uint64_t>(*value) : restrictions::unlimited;
}

void read_status(restrictions& found, const std::string& status, std::optional<long long> group) {
    constexpr long long filter_mode = 2;
    if (const auto mode = field(status, "Seccomp:")) found.seccomp_filter = to_number(*mode) == filter_mode;
    // Sixteen digits; from_chars of a signed number holds them, as no kernel defines capability 63.
    if (const auto text = field(status, "CapEff:")) {
        const long long effective = to_number(*text, 16).value_or(0);
        found.system_administrator = effective >> CAP_SYS_ADMIN & 1;
        found.may_lock_memory = (effective >> CAP_IPC_LOCK & 1) != 0;
    }
    if (!group || *group < 0) return;
    // The kernel asks for the file system's group id (the fourth), or one of the supplementary groups.
    if (const auto text = field(status, "Gid:")) {
        const auto ids = numbers(*text);
        found.in_io_uring_group = !ids.empty() && ids.back() == *group;
    }
    if (const auto text = field(status, "Groups:")) {
        const auto ids = numbers(*text);
        found.in_io_uring_group |= std::ranges::find(ids, *group) != ids.end();
    }
}

std::string in_binary_units(std::uint64_t bytes) {
    constexpr std::uint64_t kibi = 1024;
    if (bytes >= kibi * kibi && bytes % (kibi * kibi) == 0)
        return std::to_string(bytes / (kibi * kibi)) + " MiB";
    return std::to_string(bytes / kibi) + " KiB";
}

setup_failure diagnose_refusal(const restrictions& found) {
    const int disabled = found.io_uring_disabled.value_or(0);
    const bool filter = found.seccomp_filter.value_or(false);
    const bool excepted = found.in_io_uring_group || found.system_administrator;
    // CAP_SYS_ADMIN of a user namespace shows as held and counts for nothing here, so without a filter to
    // blame the sysctl remains.
    if (disabled == 2 || (disabled == 1 && !(excepted && filter))) {
        std::string text = "io_uring is switched off on this machine: kernel.io_uring_disabled is ";
        text += disabled == 2 ? "2, for every process. "
                              : "1, for all but CAP_SYS_ADMIN and kernel.io_uring_group. ";
        text += "As root on the host: sysctl kernel.io_uring_disabled=0";
        text += disabled == 2 ? "." : ", or sysctl kernel.io_uring_group=GID with a group of this user.";
        if (filter) text += " A seccomp filter is in force too and may have to let io_uring pass as well.";
        return {EPERM, cause::sysctl_disabled, std::move(text)};
    }
    if (filter) {
        std::string text =
            "A seccomp filter forbids io_uring, as the default profiles of Docker 25, containerd 2 and "
            "later do. ";
        text += filter_remedy;
        return {EPERM, cause::seccomp, std::move(text)};
    }
    return {
        EPERM, cause::unknown,
        found.seccomp_filter ? "io_uring is forbidden, yet neither by a seccomp filter nor by "
                               "kernel.io_uring_disabled. A security "
                               "module may do it (SELinux, AppArmor): look into the audit log."
                             : "io_uring is forbidden, and /proc is not there to tell by whom. Most often it "
                               "is the seccomp filter of a "
                               "container or kernel.io_uring_disabled."};
}

setup_failure diagnose_absence(const restrictions& found) {
    // Where the sysctl exists the kernel has io_uring, so somebody in between answers for it.
    if (found.io_uring_disabled && found.seccomp_filter.value_or(false)) {
        std::string text = "A seccomp filter hides io_uring: the kernel has it, the call says ENOSYS. ";
        text += filter_remedy;
        return {ENOSYS, cause::seccomp, std::move(text)};
    }
    return {
        ENOSYS, cause::no_support,
        "There is no io_uring here: the kernel is older than 5.1 or built without CONFIG_IO_URING, or a "
        "sandbox such "
        "as gVisor, or a strict seccomp filter, stands in for it. Run on Linux 6.1 or newer; in a container, "
        "with the "
        "runtime runc or crun."};
}

setup_failure diagnose_lack_of_memory(const restrictions& found) {
    if (!found.may_lock_memory.value_or(false) &&
        found.locked_memory.value_or(restrictions::unlimited) != restrictions::unlimited) {
        return {
            ENOMEM, cause::memlock,
            "The rings of this user no longer fit into the limit of locked memory (RLIMIT_MEMLOCK), which "
            "is " +
                in_binary_units(*found.locked_memory) +
                " for all processes of the user together; Linux before 5.12, and 6.14 and later, count rings "
                "there. "
                "Raise it: ulimit -l, LimitMEMLOCK= in a systemd unit, docker run --ulimit memlock=-1; or "
                "open "
                "fewer or smaller rings. Rings that have just been closed count for some more milliseconds: "
                "try "
                "again if that may be it."};
    }
    return {
        ENOMEM, cause::out_of_memory,
        "The kernel has no memory: the machine's or the control group's is used up (memory.max; "
        "docker run "
        "--memory). Free some, raise the limit, or open fewer or smaller rings."};
}

setup_failure diagnose_lack_of_descriptors(int error, const restrictions& found) {
    if (error == ENFILE) {
        return {
            error, cause::descriptor_limit,
            "The whole machine is out of file descriptors. As root: raise it with sysctl fs.file-max."};
    }
    std::string text = "The process has used up its file descriptors";
    if (found.descriptors) text += " (RLIMIT_NOFILE is " + std::to_string(*found.descriptors) + ")";
    text += ". Raise the limit: ulimit -n, LimitNOFILE= in a systemd unit, docker run --ulimit nofile=N.";
    return {error, cause::descriptor_limit, std::move(text)};
}

} // namespace

std::string_view to_string(cause why) noexcept {
    switch (why) {
    case cause::seccomp: return "seccomp";
    case cause::sysctl_disabled: return "sysctl_disabled";
    case cause::memlock: return "memlock";
    case cause::too_old: return "too_old";
    case cause::no_support: return "no_support";
    case cause::descriptor_limit: return "descriptor_limit";
    case cause::out_of_memory: return "out_of_memory";
    case cause::unknown: return "unknown";
    }
    return "unknown";
}

restrictions read_restrictions(const restriction_files& files) {
    restrictions found;
    if (const auto value = read_number(files.io_uring_disabled))
        found.io_uring_disabled = static_cast<int>(*value);
    if (const auto text = read_file(files.status))
        read_status(found, *text, read_number(files.io_uring_group));
    if (const auto text = read_file(files.limits)) {
        found.locked_memory = limit(*text, "Max locked memory");
        found.descriptors = limit(*text, "Max open files");
    }
    return found;
}

setup_failure diagnose_setup_failure(int error, const restriction_files& files) {
    const restrictions found = read_restrictions(files);
    switch (error) {
    case EPERM: return diagnose_refusal(found);
    case ENOSYS: return diagnose_absence(found);
    case ENOMEM: return diagnose_lack_of_memory(found);
    case EMFILE:
    case ENFILE: return diagnose_lack_of_descriptors(error, found);
    case EINVAL:
        return {
            error, cause::too_old,
            "The io_uring of this kernel lacks what chainring needs: Linux 6.1, or 6.0 in latency mode. Run "
            "on a newer "
            "kernel; chainring-doctor lists what is missing."};
    case EACCES:
        return {
            error, cause::unknown,
            "A security module (SELinux, AppArmor) or a seccomp filter keeps io_uring from this process: "
            "look into "
            "the audit log."};
    default:
        return {
            error, cause::unknown,
            "io_uring cannot be set up: " + std::generic_category().message(error) + "."};
    }
}

} // namespace chainring
