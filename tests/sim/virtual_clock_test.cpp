// Whoever reads a clock in a simulated world is told its virtual time.
#include "environment.hpp"
#include "simulation.hpp"

#include <chainring/runtime/sleep.hpp>
#include <chainring/sim/real_calls.hpp>
#include <chainring/sim/simulation.hpp>

#include <sys/time.h>

#include <chrono>
#include <ctime>
#include <latch>
#include <thread>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

using nanoseconds = std::chrono::nanoseconds;

nanoseconds of(clockid_t clock) {
    timespec told{};
    REQUIRE(::clock_gettime(clock, &told) == 0);
    return std::chrono::seconds(told.tv_sec) + nanoseconds(told.tv_nsec);
}

void need_answers() {
    if (!sim::no_real_calls::possible()) SKIP("this Linux sends no calls back");
}

} // namespace

TEST_CASE("all_clocks_tell_the_virtual_time_of_a_simulated_world", "[real]") {
    need_answers();
    sim::world world(7);
    const sim::simulated_kernel kernel(world);
    const nanoseconds now = world.now().time_since_epoch();
    for (const clockid_t each :
         {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_MONOTONIC_RAW,
          CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE})
        CHECK(of(each) == now);
    CHECK(std::chrono::steady_clock::now() == world.now());
    CHECK(std::chrono::system_clock::now().time_since_epoch() == now);
    timeval microseconds{};
    CHECK(::gettimeofday(&microseconds, nullptr) == 0);
    CHECK(
        std::chrono::seconds(microseconds.tv_sec) + std::chrono::microseconds(microseconds.tv_usec) ==
        std::chrono::floor<std::chrono::microseconds>(now));
    std::time_t seconds = 0;
    CHECK(std::chrono::seconds(std::time(&seconds)) == std::chrono::floor<std::chrono::seconds>(now));
    CHECK(seconds == std::time(nullptr));
}

TEST_CASE("a_clock_goes_on_as_the_virtual_time_does", "[real]") {
    need_answers();
    in_world(7, [](sim::world& world) -> task<> {
        const auto begun = std::chrono::steady_clock::now();
        CHECK(std::chrono::steady_clock::now() == begun);
        must(co_await chainring::sleep(1h));
        CHECK(std::chrono::steady_clock::now() - begun >= 1h);
        CHECK(std::chrono::steady_clock::now() == world.now());
        // So a program that waits by its own clock does.
        must(co_await chainring::sleep_until(std::chrono::steady_clock::now() + 1h));
        CHECK(std::chrono::steady_clock::now() - begun >= 2h);
    });
}

TEST_CASE("a_program_that_decides_by_the_clock_is_repeatable", "[real]") {
    need_answers();
    const no_variables clean;
    std::vector<nanoseconds> slept;
    const auto decide_by_the_clock = [&slept](sim::world& world) {
        sim::simulation play(world);
        const sim::host& only = play.add("10.0.0.1", [&slept]() -> task<> {
            const nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
            slept.push_back(now % 1'000'000'007);
            must(co_await chainring::sleep(slept.back()));
        });
        play.run_until([&only] { return only.ended(); });
    };
    sim::each_seed(1, decide_by_the_clock, {.twice = true});
    REQUIRE(slept.size() == 2);
    CHECK(slept[0] == slept[1]);
}

TEST_CASE("outside_of_a_simulated_world_and_where_it_is_allowed_clocks_are_real", "[real]") {
    const auto before = std::chrono::steady_clock::now();
    CHECK(sim::world::is_real(before));
    {
        sim::world world(7);
        const sim::simulated_kernel kernel(world);
        const sim::allow_real_calls to_measure;
        CHECK(sim::world::is_real(std::chrono::steady_clock::now()));
        CHECK(std::chrono::steady_clock::now() >= before);
    }
    CHECK(sim::world::is_real(std::chrono::steady_clock::now()));
    CHECK(std::chrono::steady_clock::now() >= before);
}

TEST_CASE("a_thread_beside_a_simulated_world_has_the_real_clock", "[real]") {
    std::latch begun(1);
    std::latch read(1);
    time_point told;
    std::thread beside([&] {
        begun.wait();
        told = std::chrono::steady_clock::now();
        read.count_down();
    });
    in_world(7, [&](sim::world&) -> task<> {
        begun.count_down();
        read.wait();
        co_return;
    });
    beside.join();
    CHECK(sim::world::is_real(told));
}
