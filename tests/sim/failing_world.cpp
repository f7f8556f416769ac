// Prints, once for each test, the commands that repeat and shrink the failure of a world.
#include "failing_world.hpp"

#include <catch2/catch_assertion_result.hpp>
#include <catch2/catch_test_case_info.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>

#include <cstdio>
#include <filesystem>
#include <string>

#ifdef __SANITIZE_ADDRESS__
#define CHAINRING_TEST_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHAINRING_TEST_ADDRESS_SANITIZER 1
#endif
#endif
#ifdef CHAINRING_TEST_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

namespace chainring::test {

namespace {

std::string running_test;

void tell_how_to_repeat() {
    const std::optional<std::uint64_t> seed = running_world::seed();
    if (!seed || std::exchange(a_world_has_failed, true)) return;
    const std::string program = std::filesystem::read_symlink("/proc/self/exe");
    const std::string what = '\'' + program + "' '" + running_test + '\'';
    const std::string number = std::to_string(*seed);
    std::printf("\nrepeat it:  CHAINRING_SIM_SEED=%s %s\n", number.c_str(), what.c_str());
    std::printf("shrink it:  scripts/shrink %s %s\n", what.c_str(), number.c_str());
    std::fflush(stdout);
}

class replay_line final : public Catch::EventListenerBase {
  public:
    using EventListenerBase::EventListenerBase;

    void testRunStarting(const Catch::TestRunInfo&) override {
#ifdef CHAINRING_TEST_ADDRESS_SANITIZER
        __sanitizer_set_death_callback(tell_how_to_repeat);
#endif
    }
    void testCaseStarting(const Catch::TestCaseInfo& begun) override {
        running_test = begun.name;
        a_world_has_failed = false;
        running_world::forget();
    }
    // Also called for a signal, such as the abort of a world that can't go on.
    void assertionEnded(const Catch::AssertionStats& ended) override {
        if (!ended.assertionResult.isOk()) tell_how_to_repeat();
    }
};

} // namespace

CATCH_REGISTER_LISTENER(replay_line)

} // namespace chainring::test
