#include "../temporary_directory.hpp"

#include <chainring/runtime/setup_failure.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

using namespace chainring;
using Catch::Matchers::ContainsSubstring;
using cause = setup_failure::cause;

namespace {

constexpr const char* no_capabilities = "0000000000000000";
constexpr const char* all_capabilities = "000001ffffffffff";
constexpr const char* containers_capabilities = "00000000a80425fb"; // Docker's default: neither of the two

// A /proc of its own, in which nothing stands in the way; a file that is set to nullptr does not exist.
class machine {
  public:
    const char* disabled = "0\n";
    const char* group = "-1\n";
    int seccomp_mode = 0;
    const char* effective = no_capabilities;
    const char* groups = "4 24 27 1000";
    const char* locked_memory = "8388608";
    bool has_proc = true;

    restriction_files files() const {
        const restriction_files paths{
            directory_.path() / "io_uring_disabled", directory_.path() / "io_uring_group",
            directory_.path() / "status", directory_.path() / "limits"};
        if (disabled) std::ofstream(paths.io_uring_disabled) << disabled;
        if (group) std::ofstream(paths.io_uring_group) << group;
        if (!has_proc) return paths;
        std::ofstream(paths.status) << "Name:\tserver\nGid:\t1000\t1000\t1000\t1001\nGroups:\t" << groups
                                    << " \nNStgid:\t7\nCapInh:\t0000000000000000\nCapEff:\t" << effective
                                    << "\nNoNewPrivs:\t1\nSeccomp:\t" << seccomp_mode
                                    << "\nSeccomp_filters:\t1\n";
        std::ofstream(paths.limits)
            << "Limit                     Soft Limit           Hard Limit           Units     \n"
            << "Max open files            1024                 1048576              files     \n"
            << "Max locked memory         " << locked_memory << "              " << locked_memory
            << "              bytes     \n";
        return paths;
    }

    setup_failure diagnose(int error) const { return diagnose_setup_failure(error, files()); }

  private:
    test::temporary_directory directory_;
};

} // namespace

TEST_CASE("a_refusal_under_a_filter_is_blamed_on_seccomp_and_says_which_calls_to_allow") {
    machine here;
    here.seccomp_mode = 2;
    const setup_failure failure = here.diagnose(EPERM);
    CHECK(failure.error == EPERM);
    CHECK(failure.why == cause::seccomp);
    CHECK_THAT(failure.text, ContainsSubstring("Docker 25"));
    CHECK_THAT(failure.text, ContainsSubstring("io_uring_setup, io_uring_enter and io_uring_register"));
    CHECK_THAT(failure.text, ContainsSubstring("docker run --security-opt seccomp="));
}

TEST_CASE("strict_seccomp_is_not_a_filter") {
    machine here;
    here.seccomp_mode = 1;
    CHECK(here.diagnose(EPERM).why == cause::unknown);
}

TEST_CASE("a_machine_that_disables_io_uring_for_everybody_is_blamed_on_the_sysctl_whoever_asks") {
    machine here;
    here.disabled = "2\n";
    here.effective = GENERATE(no_capabilities, all_capabilities);
    const setup_failure failure = here.diagnose(EPERM);
    CHECK(failure.why == cause::sysctl_disabled);
    CHECK_THAT(failure.text, ContainsSubstring("kernel.io_uring_disabled is 2"));
    CHECK_THAT(failure.text, ContainsSubstring("sysctl kernel.io_uring_disabled=0"));
    CHECK_THAT(failure.text, !ContainsSubstring("io_uring_group"));
}

TEST_CASE("a_machine_that_keeps_io_uring_for_a_group_names_the_group_as_a_remedy") {
    machine here;
    here.disabled = "1\n";
    here.group = GENERATE("-1\n", "27000\n");
    const setup_failure failure = here.diagnose(EPERM);
    CHECK(failure.why == cause::sysctl_disabled);
    CHECK_THAT(failure.text, ContainsSubstring("kernel.io_uring_disabled is 1"));
    CHECK_THAT(failure.text, ContainsSubstring("kernel.io_uring_group=GID"));
}

TEST_CASE("a_filter_is_mentioned_when_the_sysctl_is_to_blame") {
    machine here;
    here.disabled = "2\n";
    CHECK_THAT(here.diagnose(EPERM).text, !ContainsSubstring("seccomp"));
    here.seccomp_mode = 2;
    CHECK(here.diagnose(EPERM).why == cause::sysctl_disabled);
    CHECK_THAT(here.diagnose(EPERM).text, ContainsSubstring("seccomp"));
}

TEST_CASE("a_process_that_the_sysctl_lets_through_blames_the_filter") {
    machine here;
    here.disabled = "1\n";
    here.seccomp_mode = 2;
    SECTION("by a supplementary group") {
        here.group = "27\n";
    }
    SECTION("by the group of the process") {
        here.group = "1001\n";
    }
    SECTION("by CAP_SYS_ADMIN") {
        here.effective = all_capabilities;
    }
    CHECK(here.diagnose(EPERM).why == cause::seccomp);
}

TEST_CASE("root_of_a_user_namespace_without_a_filter_blames_the_sysctl") {
    machine here;
    here.disabled = "1\n";
    here.effective = all_capabilities;
    CHECK(here.diagnose(EPERM).why == cause::sysctl_disabled);
}

TEST_CASE("a_refusal_that_nothing_explains_points_at_the_security_modules") {
    machine here;
    CHECK(here.diagnose(EPERM).why == cause::unknown);
    CHECK_THAT(here.diagnose(EPERM).text, ContainsSubstring("audit log"));
    CHECK(here.diagnose(EACCES).why == cause::unknown);
    CHECK_THAT(here.diagnose(EACCES).text, ContainsSubstring("audit log"));
}

TEST_CASE("a_refusal_without_proc_says_that_it_is_a_guess") {
    machine here;
    here.disabled = nullptr;
    here.group = nullptr;
    here.has_proc = false;
    CHECK(here.diagnose(EPERM).why == cause::unknown);
    CHECK_THAT(here.diagnose(EPERM).text, ContainsSubstring("/proc is not there"));
}

TEST_CASE("a_missing_call_is_no_support") {
    machine here;
    here.disabled = nullptr; // the sysctl is part of a kernel's io_uring
    here.seccomp_mode = GENERATE(0, 2);
    const setup_failure failure = here.diagnose(ENOSYS);
    CHECK(failure.why == cause::no_support);
    CHECK_THAT(failure.text, ContainsSubstring("gVisor"));
    CHECK_THAT(failure.text, ContainsSubstring("CONFIG_IO_URING"));
}

TEST_CASE("a_missing_call_on_a_kernel_that_has_it_is_blamed_on_the_filter") {
    machine here;
    here.seccomp_mode = 2;
    CHECK(here.diagnose(ENOSYS).why == cause::seccomp);
    CHECK_THAT(here.diagnose(ENOSYS).text, ContainsSubstring("ENOSYS"));
    here.seccomp_mode = 0;
    CHECK(here.diagnose(ENOSYS).why == cause::no_support);
}

TEST_CASE("a_lack_of_memory_under_a_limit_of_locked_memory_names_the_limit") {
    machine here;
    here.effective = GENERATE(no_capabilities, containers_capabilities);
    const setup_failure failure = here.diagnose(ENOMEM);
    CHECK(failure.why == cause::memlock);
    CHECK_THAT(failure.text, ContainsSubstring("which is 8 MiB"));
    CHECK_THAT(failure.text, ContainsSubstring("ulimit -l"));
    here.locked_memory = "65536";
    CHECK_THAT(here.diagnose(ENOMEM).text, ContainsSubstring("which is 64 KiB"));
}

TEST_CASE("a_lack_of_memory_that_no_limit_explains_is_one_of_the_machine") {
    machine here;
    SECTION("the limit does not hold for this process") {
        here.effective = all_capabilities;
    }
    SECTION("there is no limit") {
        here.locked_memory = "unlimited";
    }
    SECTION("the limit is not known") {
        here.has_proc = false;
    }
    CHECK(here.diagnose(ENOMEM).why == cause::out_of_memory);
}

TEST_CASE("a_lack_of_descriptors_names_the_limit_that_was_met") {
    machine here;
    CHECK(here.diagnose(EMFILE).why == cause::descriptor_limit);
    CHECK_THAT(here.diagnose(EMFILE).text, ContainsSubstring("RLIMIT_NOFILE is 1024"));
    CHECK_THAT(here.diagnose(EMFILE).text, ContainsSubstring("ulimit -n"));
    CHECK(here.diagnose(ENFILE).why == cause::descriptor_limit);
    CHECK_THAT(here.diagnose(ENFILE).text, ContainsSubstring("fs.file-max"));
}

TEST_CASE("flags_that_the_kernel_does_not_know_make_it_too_old") {
    const setup_failure failure = machine().diagnose(EINVAL);
    CHECK(failure.why == cause::too_old);
    CHECK_THAT(failure.text, ContainsSubstring("Linux 6.1"));
}

TEST_CASE("any_other_error_is_passed_on_in_words") {
    const setup_failure failure = machine().diagnose(EIO);
    CHECK(failure.error == EIO);
    CHECK(failure.why == cause::unknown);
    CHECK_THAT(failure.text, ContainsSubstring("Input/output error"));
}

TEST_CASE("the_restrictions_of_this_process_can_be_read") {
    const restrictions found = read_restrictions();
    CHECK(found.seccomp_filter.has_value());
    CHECK(found.locked_memory.has_value());
    REQUIRE(found.descriptors.has_value());
    CHECK(*found.descriptors == static_cast<std::uint64_t>(::sysconf(_SC_OPEN_MAX)));
}
