// chainring-doctor: whether chainring runs here, and if not, what stands in the way and how to remove it.
#include "command_line.hpp"
#include "standard_output.hpp"

#include <chainring/runtime/buffer_trials.hpp>
#include <chainring/runtime/capabilities.hpp>
#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/kernel.hpp>

#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <expected>
#include <iostream>
#include <string>
#include <vector>

namespace cr = chainring;

namespace {

constexpr std::size_t indent = 17;
constexpr std::size_t line_length = 100;

struct process_limits {
    rlimit descriptors{};
    rlimit locked_memory{};
};

struct findings {
    utsname system{};
    std::expected<cr::capabilities, cr::setup_failure> probed;
    cr::restrictions restrictions = cr::read_restrictions();
    process_limits limits;
    std::string container;
    std::vector<cr::trial_outcome> trials; // as buffer_trials()

    bool runs() const { return probed && probed->latency_mode(); }

    // Why chainring does not run, also where there is an io_uring but too little of it.
    cr::setup_failure failure() const { return probed ? cr::diagnose_setup_failure(EINVAL) : probed.error(); }

    std::vector<cr::capability> list(bool supported) const {
        std::vector<cr::capability> entries;
        for (const cr::capability& entry : cr::capability_table()) {
            if (probed && (*probed).*entry.member == supported) entries.push_back(entry);
        }
        return entries;
    }
};

// eventfd(2), by which other threads wake an executor.
cr::setup_failure diagnose_refused_event(int error) {
    if (error == EMFILE || error == ENFILE || error == ENOMEM) return cr::diagnose_setup_failure(error);
    const bool filter = cr::read_restrictions().seccomp_filter.value_or(true);
    return {
        error, filter ? cr::setup_failure::cause::seccomp : cr::setup_failure::cause::unknown,
        "eventfd is refused (" + std::generic_category().message(error) +
            "), most often by a seccomp filter: it must allow eventfd2 as well."};
}

cr::task<> nothing() {
    co_return;
}

// What is supported, unless not even one executor can be had: RLIMIT_MEMLOCK may hold the small rings of the
// probe and no more.
std::expected<cr::capabilities, cr::setup_failure> probe() {
    auto found = cr::probe_capabilities();
    if (!found || !found->latency_mode()) return found;
    const int event = cr::linux_kernel().open_event();
    if (event < 0) return std::unexpected(diagnose_refused_event(-event));
    cr::linux_kernel().close(event);
    try {
        cr::executor trial;
        trial.run(nothing());
    } catch (const std::system_error& error) {
        return std::unexpected(cr::diagnose_setup_failure(error.code().value()));
    }
    return found;
}

// A filter may kill (systemd's SystemCallFilter= does), so the first attempt is a child's. Returns the signal
// that ended it, or 0.
int fatal_signal_of_a_probe() {
    const pid_t child = ::fork();
    if (child < 0) return 0;
    if (child == 0) {
        const rlimit no_core{};
        ::setrlimit(RLIMIT_CORE, &no_core);
        static_cast<void>(probe());
        ::_exit(0);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

std::expected<cr::capabilities, cr::setup_failure> probe_carefully() {
    const int signal = fatal_signal_of_a_probe();
    if (signal == 0) return probe();
    cr::setup_failure failure;
    if (signal == SIGSYS) {
        failure = {
            EPERM, cr::setup_failure::cause::seccomp,
            "A seccomp filter kills processes that use what chainring needs (SIGSYS). Allow io_uring_setup, "
            "io_uring_enter, io_uring_register and eventfd2: in a systemd unit with SystemCallFilter=@aio "
            "@io-event, in a container with a seccomp profile of its own."};
    } else {
        failure.text = "A process that tried io_uring was killed by signal " + std::to_string(signal) + ".";
    }
    return std::unexpected(failure);
}

std::string name_of_the_container() {
    if (::access("/run/.containerenv", F_OK) == 0) return "podman";
    if (std::getenv("KUBERNETES_SERVICE_HOST")) return "kubernetes";
    if (::access("/.dockerenv", F_OK) == 0) return "docker";
    const char* const name = std::getenv("container"); // set by systemd-nspawn, LXC and others
    return name ? name : "";
}

findings examine() {
    findings found;
    ::uname(&found.system);
    found.probed = probe_carefully();
    ::getrlimit(RLIMIT_NOFILE, &found.limits.descriptors);
    ::getrlimit(RLIMIT_MEMLOCK, &found.limits.locked_memory);
    found.container = name_of_the_container();
    if (found.runs())
        for (const cr::buffer_trial& each : cr::buffer_trials())
            found.trials.push_back(each.run(cr::linux_kernel()));
    return found;
}

// A label on the left, the text in a column on the right.
void print(const std::string& label, const std::string& text) {
    std::cout << label << std::string(indent - std::min(indent, label.size()), ' ');
    std::size_t column = indent;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        if (column > indent && column + 1 + end - begin > line_length) {
            std::cout << '\n' << std::string(indent, ' ');
            column = indent;
        }
        if (column > indent) {
            std::cout << ' ';
            ++column;
        }
        std::cout << text.substr(begin, end - begin);
        column += end - begin;
        begin = end + 1;
    }
    std::cout << '\n';
}

std::string in_text(rlim_t limit, rlim_t unit = 1, const char* name = "") {
    return limit == RLIM_INFINITY ? "unlimited" : std::to_string(limit / unit) + name;
}

void print_capabilities(const findings& found) {
    std::string group;
    std::string names;
    for (const cr::capability& entry : found.list(true)) {
        if (entry.group != group && !names.empty()) {
            print("  " + group, names);
            names.clear();
        }
        group = entry.group;
        names += (names.empty() ? "" : ", ") + std::string(entry.name);
    }
    if (!names.empty()) print("  " + group, names);

    const auto missing = found.list(false);
    if (missing.empty()) print("missing", "nothing");
    std::string label = "missing";
    for (const cr::capability& entry : missing) {
        print(
            label, std::string(entry.name) + " (Linux " + std::string(entry.since) +
                       "); without it: " + std::string(entry.without));
        label.clear();
    }
}

void print_trials(const findings& found) {
    std::string label = "tried";
    for (std::size_t at = 0; at < found.trials.size(); ++at) {
        const cr::buffer_trial& trial = cr::buffer_trials()[at];
        std::string text = std::string(trial.name) + ": " + std::string(to_string(found.trials[at]));
        if (found.trials[at] == cr::trial_outcome::wrong) text += " (" + std::string(trial.wrong) + ")";
        print(label, text + "; " + std::string(trial.used));
        label.clear();
    }
}

void print_environment(const findings& found) {
    const cr::restrictions& restrictions = found.restrictions;
    constexpr rlim_t few_descriptors = 4096;
    const rlimit& descriptors = found.limits.descriptors;
    std::string text = in_text(descriptors.rlim_cur) + " descriptors (hard limit " +
                       in_text(descriptors.rlim_max) + "); a connection takes one";
    if (descriptors.rlim_cur < few_descriptors)
        text += ": low for a server, raise it with ulimit -n or LimitNOFILE=";
    print("limits", text);
    text = in_text(found.limits.locked_memory.rlim_cur, 1024, " KiB") + " locked memory; ";
    text += restrictions.may_lock_memory.value_or(false)
                ? "this process may exceed it (CAP_IPC_LOCK)"
                : "from Linux 6.14 on, all rings of this user must fit into it";
    if (!restrictions.may_lock_memory) text += " (but with CAP_IPC_LOCK; /proc is not there to tell)";
    print("", text);

    text = found.container.empty() ? "none detected" : found.container;
    if (!restrictions.seccomp_filter)
        text += "; whether a seccomp filter is in force /proc does not tell";
    else
        text += *restrictions.seccomp_filter ? "; a seccomp filter is in force" : "; no seccomp filter";
    if (restrictions.io_uring_disabled) {
        text += "; kernel.io_uring_disabled is " + std::to_string(*restrictions.io_uring_disabled);
    }
    print("container", text);
    if (found.runs() && found.container.empty()) {
        print(
            "", "Docker 25, containerd 2 and later forbid io_uring by default: run the doctor in the image "
                "as well");
    }
}

void print_report(const findings& found) {
    print(
        "kernel",
        std::string(found.system.sysname) + " " + found.system.release + " (" + found.system.machine + ")");
    if (!found.probed) {
        print("io_uring", "blocked: " + std::string(to_string(found.failure().why)));
        print("", found.failure().text);
    } else if (!found.runs()) {
        print("io_uring", "not enough of it");
        print("", found.failure().text);
    } else if (!found.probed->throughput_mode()) {
        print("io_uring", "chainring runs, in latency mode only (throughput mode needs Linux 6.1)");
    } else {
        print("io_uring", "chainring runs, in throughput mode and in latency mode");
    }
    if (found.probed) {
        std::cout << "supported\n";
        print_capabilities(found);
    }
    print_trials(found);
    print_environment(found);
}

std::string json_string(std::string_view text) {
    std::string result = "\"";
    for (const char character : text) {
        if (character == '"' || character == '\\') result += '\\';
        result += static_cast<unsigned char>(character) < ' ' ? ' ' : character;
    }
    return result + '"';
}

std::string in_json(bool value) {
    return value ? "true" : "false";
}

std::string in_json(std::optional<bool> value) {
    return value ? in_json(*value) : "null";
}

std::string in_json(rlim_t limit) {
    return limit == RLIM_INFINITY ? "null" : std::to_string(limit);
}

// null stands for what is not known, and for a limit that is none.
void print_json(const findings& found) {
    const cr::restrictions& restrictions = found.restrictions;
    std::cout << "{\n  \"kernel\": " << json_string(found.system.release)
              << ",\n  \"runs\": " << in_json(found.runs())
              << ",\n  \"throughput_mode\": " << in_json(found.probed && found.probed->throughput_mode())
              << ",\n  \"latency_mode\": " << in_json(found.runs()) << ",\n  \"failure\": ";
    if (found.runs()) {
        std::cout << "null";
    } else {
        const cr::setup_failure failure = found.failure();
        std::cout << "{\"cause\": " << json_string(to_string(failure.why)) << ", \"errno\": " << failure.error
                  << ", \"text\": " << json_string(failure.text) << "}";
    }
    std::cout << ",\n  \"capabilities\": {";
    const char* separator = "\n";
    for (const cr::capability& entry : cr::capability_table()) {
        std::cout << separator << "    " << json_string(entry.name) << ": "
                  << (found.probed ? in_json((*found.probed).*entry.member) : "null");
        separator = ",\n";
    }
    std::cout << "\n  },\n  \"buffer_trials\": {";
    separator = "\n";
    for (std::size_t at = 0; at < cr::buffer_trials().size(); ++at) {
        std::cout << separator << "    " << json_string(cr::buffer_trials()[at].name) << ": "
                  << (at < found.trials.size() ? json_string(to_string(found.trials[at])) : "null");
        separator = ",\n";
    }
    const auto& [descriptors, locked_memory] = found.limits;
    std::cout << "\n  },\n  \"descriptors\": " << in_json(descriptors.rlim_cur)
              << ",\n  \"descriptors_hard\": " << in_json(descriptors.rlim_max)
              << ",\n  \"locked_memory\": " << in_json(locked_memory.rlim_cur)
              << ",\n  \"may_lock_memory\": " << in_json(restrictions.may_lock_memory)
              << ",\n  \"container\": " << (found.container.empty() ? "null" : json_string(found.container))
              << ",\n  \"seccomp_filter\": " << in_json(restrictions.seccomp_filter)
              << ",\n  \"io_uring_disabled\": "
              << (restrictions.io_uring_disabled ? std::to_string(*restrictions.io_uring_disabled) : "null")
              << "\n}\n";
}

} // namespace

int main(int argc, char** argv) {
    bool json = false;
    command_line arguments("Says whether chainring runs on this machine, and if not, why. "
                           "Exit status: 0 it runs, 1 it does not.");
    arguments.flag("--json", json, "for programs");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    const findings found = examine();
    json ? print_json(found) : print_report(found);
    std::cout.flush();
    return written_or_failed("chainring-doctor", found.runs() ? 0 : 1);
}
