// Runs chainring-doctor (its path in CHAINRING_DOCTOR) as it is, and under seccomp filters as containers have
// them.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>

using Catch::Matchers::ContainsSubstring;

namespace {

struct outcome {
    int exit_status = -1;
    std::string output;
};

constexpr int no_filter = 0;

constexpr unsigned answer(int error) {
    return SECCOMP_RET_ERRNO | static_cast<unsigned>(error);
}

// Makes one system call answer with `action`; inherited by what this process executes.
bool filter(int system_call, unsigned action) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(system_call), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog all{sizeof program / sizeof program[0], program};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all, 0, 0) == 0;
}

outcome run_doctor(const char* option, int system_call = no_filter, unsigned action = 0) {
    const char* const path = std::getenv("CHAINRING_DOCTOR");
    REQUIRE(path != nullptr);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        if (system_call != no_filter && !filter(system_call, action)) ::_exit(126);
        ::execl(path, path, option, nullptr);
        ::_exit(127);
    }
    ::close(ends[1]);
    outcome result;
    char chunk[4096];
    for (ssize_t length = 0; (length = ::read(ends[0], chunk, sizeof chunk)) > 0;) {
        result.output.append(chunk, static_cast<std::size_t>(length));
    }
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) result.exit_status = WEXITSTATUS(status);
    REQUIRE(result.exit_status != 126);
    REQUIRE(result.exit_status != 127);
    return result;
}

outcome report(int system_call = no_filter, unsigned action = 0) {
    return run_doctor(nullptr, system_call, action);
}

outcome json(int system_call = no_filter, unsigned action = 0) {
    return run_doctor("--json", system_call, action);
}

// Where io_uring is blocked already, a filter of ours shows nothing.
void need_io_uring() {
    if (report().exit_status != 0) SKIP("chainring does not run here");
}

bool sysctl_exists() {
    return std::ifstream("/proc/sys/kernel/io_uring_disabled").good();
}

} // namespace

TEST_CASE("the_doctor_reports_in_a_screenful_and_exits_with_zero_where_chainring_runs") {
    need_io_uring();
    const outcome result = report();
    CHECK(result.exit_status == 0);
    CHECK_THAT(result.output, ContainsSubstring("chainring runs"));
    CHECK_THAT(result.output, ContainsSubstring("multishot_receive"));
    CHECK_THAT(result.output, ContainsSubstring("descriptors (hard limit"));
    CHECK_THAT(result.output, ContainsSubstring("send_bundle: "));
    CHECK(std::ranges::count(result.output, '\n') <= 40);
}

TEST_CASE("the_doctor_reports_to_programs_in_json") {
    need_io_uring();
    const outcome result = json();
    CHECK(result.exit_status == 0);
    CHECK_THAT(result.output, ContainsSubstring("\"runs\": true"));
    CHECK_THAT(result.output, ContainsSubstring("\"failure\": null"));
    CHECK_THAT(result.output, ContainsSubstring("\"buffer_ring\": true"));
    CHECK_THAT(result.output, ContainsSubstring("\"incremental_datagrams\": \""));
}

TEST_CASE("the_doctor_names_the_filter_that_refuses_io_uring") {
    need_io_uring();
    // Each of the three calls is needed, and filters exist that forget one.
    const int system_call = GENERATE(__NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register);
    CAPTURE(system_call);
    const outcome result = report(system_call, answer(EPERM));
    CHECK(result.exit_status == 1);
    CHECK_THAT(result.output, ContainsSubstring("blocked: seccomp"));
    CHECK_THAT(result.output, ContainsSubstring("--security-opt seccomp=profile.json"));
    CHECK_THAT(result.output, ContainsSubstring("a seccomp filter is in force"));
    CHECK_THAT(result.output, !ContainsSubstring("chainring runs"));
    CHECK_THAT(
        json(system_call, answer(EPERM)).output, ContainsSubstring("\"cause\": \"seccomp\", \"errno\": 1,"));
}

TEST_CASE("the_doctor_names_what_else_an_executor_needs_and_is_refused") {
    need_io_uring();
    const outcome result = report(__NR_eventfd2, answer(EPERM));
    CHECK(result.exit_status == 1);
    CHECK_THAT(result.output, ContainsSubstring("eventfd is refused"));
    CHECK_THAT(result.output, !ContainsSubstring("chainring runs"));
}

TEST_CASE("the_doctor_fails_when_its_report_cannot_be_written") {
    need_io_uring();
    const char* const option = GENERATE(static_cast<const char*>(nullptr), "--json");
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    REQUIRE(full >= 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::dup2(full, STDOUT_FILENO);
        const char* const path = std::getenv("CHAINRING_DOCTOR");
        ::execl(path, path, option, nullptr);
        ::_exit(127);
    }
    ::close(full);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 1);
}

TEST_CASE("the_doctor_sees_through_a_filter_that_denies_that_io_uring_exists") {
    need_io_uring();
    const outcome result = report(__NR_io_uring_setup, answer(ENOSYS));
    CHECK(result.exit_status == 1);
    if (sysctl_exists()) {
        CHECK_THAT(result.output, ContainsSubstring("blocked: seccomp"));
        CHECK_THAT(result.output, ContainsSubstring("the kernel has it, the call says ENOSYS"));
    } else {
        CHECK_THAT(result.output, ContainsSubstring("blocked: no_support"));
    }
}

TEST_CASE("the_doctor_survives_a_filter_that_kills_and_names_it") {
    need_io_uring();
    const int system_call = GENERATE(__NR_io_uring_setup, __NR_eventfd2);
    CAPTURE(system_call);
    const outcome result = report(system_call, SECCOMP_RET_KILL_PROCESS);
    CHECK(result.exit_status == 1);
    CHECK_THAT(result.output, ContainsSubstring("blocked: seccomp"));
    CHECK_THAT(result.output, ContainsSubstring("SIGSYS"));
}

TEST_CASE("the_doctor_names_a_lack_of_descriptors") {
    need_io_uring();
    const outcome result = report(__NR_io_uring_setup, answer(EMFILE));
    CHECK(result.exit_status == 1);
    CHECK_THAT(result.output, ContainsSubstring("blocked: descriptor_limit"));
    CHECK_THAT(result.output, ContainsSubstring("ulimit -n"));
}

TEST_CASE("the_doctor_names_a_lack_of_memory") {
    need_io_uring();
    const outcome result = report(__NR_io_uring_setup, answer(ENOMEM));
    CHECK(result.exit_status == 1);
    // The limit of locked memory is to blame only where it holds: not for root.
    const bool memlock = result.output.find("blocked: memlock") != std::string::npos;
    const bool machine = result.output.find("blocked: out_of_memory") != std::string::npos;
    CHECK(memlock != machine);
    CHECK_THAT(result.output, ContainsSubstring(memlock ? "ulimit -l" : "memory.max"));
}

TEST_CASE("the_doctor_calls_a_kernel_too_old_that_knows_none_of_the_flags") {
    need_io_uring();
    const outcome result = json(__NR_io_uring_setup, answer(EINVAL));
    CHECK(result.exit_status == 1);
    CHECK_THAT(result.output, ContainsSubstring("\"cause\": \"too_old\", \"errno\": 22,"));
}

TEST_CASE("the_doctor_lists_what_is_missing_where_there_is_too_little_io_uring") {
    need_io_uring();
    // EINVAL to every registration, as a sandbox answers that knows only a part of io_uring.
    const outcome result = report(__NR_io_uring_register, answer(EINVAL));
    CHECK(result.exit_status == 1);
    CHECK_THAT(result.output, ContainsSubstring("not enough of it"));
    CHECK_THAT(result.output, ContainsSubstring("buffer_ring (Linux 5.19); without it: does not run"));
    CHECK_THAT(result.output, ContainsSubstring("submit_all"));
}
