// What is not repeatable is refused by name, or found when a world is run twice.
#include "environment.hpp"
#include "last_words.hpp"

#include <chainring/net/resolve.hpp>
#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/offload.hpp>
#include <chainring/runtime/signal_set.hpp>
#include <chainring/runtime/sleep.hpp>
#include <chainring/sim/real_calls.hpp>

#include <chrono>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// Of a world in which a program does it.
template <class Body> std::string refusal_of(Body body) {
    return last_words([&body] { in_world(7, body); });
}

std::uint64_t real_time() {
    const sim::allow_real_calls to_read_it;
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// A program that is given a world, twice.
std::string difference_in(const sim::world_body& body) {
    const no_variables clean;
    return last_words([&body] { sim::each_seed(1, body, {.twice = true}); });
}

} // namespace

TEST_CASE("blocking_work_in_a_simulated_world_is_refused_by_name", "[real]") {
    const std::string text = refusal_of([](sim::world&) -> task<> {
        auto work = offload([] { return 1; });
        must(co_await std::move(work));
    });
    CAPTURE(text);
    CHECK(text.contains("seed 7"));
    CHECK(text.contains("the simulation lacks a thread for blocking work (offload, or resolve of a name)"));
}

TEST_CASE("the_name_of_a_host_is_not_resolved_in_a_simulated_world_and_a_number_is", "[real]") {
    const std::string text = refusal_of([](sim::world&) -> task<> {
        const auto numeric = must(co_await resolve("10.0.0.1", "7000"));
        if (numeric.size() == 1) (void)co_await resolve("localhost", "7000");
    });
    CAPTURE(text);
    CHECK(text.contains("resolve of a name"));
}

TEST_CASE("signals_in_a_simulated_world_are_refused_by_name", "[real]") {
    const std::string text = refusal_of([](sim::world&) -> task<> {
        (void)signal_set::open({SIGHUP});
        co_return;
    });
    CAPTURE(text);
    CHECK(text.contains("the simulation lacks a signal_set"));
}

TEST_CASE(
    "a_thread_that_posts_to_a_simulated_executor_is_refused_by_name_even_while_that_is_awake", "[real]") {
    const std::string text = refusal_of([](sim::world&) -> task<> {
        const sim::allow_real_calls for_the_thread;
        std::thread([home = executor::current()] { home->post([] {}); }).join();
        co_return;
    });
    CAPTURE(text);
    CHECK(text.contains("a post came from another thread"));
}

TEST_CASE("an_executor_on_linux_within_a_simulated_world_is_refused_by_name", "[real]") {
    const std::string text = last_words([] {
        sim::world world(7);
        sim::simulated_kernel kernel(world);
        executor home; // forgets the kernel
    });
    CAPTURE(text);
    CHECK(text.contains("the simulation lacks an executor on Linux"));
}

TEST_CASE("an_executor_on_linux_in_a_thread_beside_a_simulated_world_is_refused_by_name", "[real]") {
    const std::string text = refusal_of([](sim::world&) -> task<> {
        const sim::allow_real_calls for_the_thread;
        std::thread([] { const executor home; }).join();
        co_return;
    });
    CAPTURE(text);
    CHECK(text.contains("the simulation lacks an executor on Linux"));
}

TEST_CASE("a_time_of_the_real_clock_in_a_simulated_world_is_refused_by_name", "[real]") {
    const time_point real = std::chrono::steady_clock::now();
    const std::string sleeping =
        refusal_of([real](sim::world&) -> task<> { (void)co_await sleep_until(real + 1h); });
    CAPTURE(sleeping);
    CHECK(sleeping.contains("a wait until a time of the real clock"));
    const std::string limited = refusal_of([real](sim::world&) -> task<> {
        auto limit = deadline(real + 1h, chainring::sleep(1ms));
        (void)co_await std::move(limit);
    });
    CAPTURE(limited);
    CHECK(limited.contains("a wait until a time of the real clock"));
}

TEST_CASE("a_time_in_the_past_of_a_simulated_world_is_one_that_has_come", "[real]") {
    in_world(7, [](sim::world&) -> task<> {
        const time_point yesterday = executor::current()->now() - 24h;
        for (const time_point past : {time_point(), time_point::min(), yesterday})
            must(co_await sleep_until(past));
    });
}

TEST_CASE("a_section_within_a_simulated_world_is_refused_by_name", "[real]") {
    const no_variables clean;
    // Captures, for what SECTION is to clang-tidy.
    const std::string text = last_words([&] {
        sim::each_seed(3, [&](sim::world&) {
            SECTION("of a world") {}
        });
    });
    CAPTURE(text);
    CHECK(text.contains("a SECTION within a simulated world: of a world"));
}

TEST_CASE("when_the_simulated_kernel_is_gone_an_executor_may_run_on_linux", "[real]") {
    {
        sim::world world(7);
        sim::simulated_kernel kernel(world);
    }
    executor home;
    CHECK(home.run([]() -> task<int> { co_return 7; }()) == 7);
}

TEST_CASE("a_real_descriptor_in_a_simulated_world_is_refused_by_name", "[real]") {
    const std::string text = refusal_of([](sim::world&) -> task<> {
        co_await uring([](io_uring_sqe& sqe) { io_uring_prep_recv(&sqe, 0, nullptr, 0, 0); });
    });
    CAPTURE(text);
    CHECK(text.contains("descriptor 0 is a real one"));
}

TEST_CASE(
    "a_program_that_reads_a_real_clock_is_not_repeatable_and_told_the_first_decision_that_differs",
    "[real]") {
    const std::string text = difference_in([](sim::world& world) {
        in_world(world, [](sim::world& within) -> task<> {
            (void)within.choose(5, "the same");
            // A timer's tick for each microsecond.
            must(co_await chainring::sleep(1ms * (real_time() / 1000 % 100'000)));
            (void)within.choose(5, "after a sleep");
        });
    });
    CAPTURE(text);
    CHECK(text.contains("the program is not repeatable: decision "));
    CHECK((text.contains(" of the first run was (") || text.contains(" of both runs is (")));
}

TEST_CASE("what_differs_after_the_last_decision_is_not_repeatable_either", "[real]") {
    const std::string text = difference_in(
        [](sim::world& world) { world.pass(std::chrono::nanoseconds(real_time() % 1'000'000'000)); });
    CAPTURE(text);
    CHECK(text.contains("what was completed after the last one differs"));
}

TEST_CASE("the_first_of_several_worlds_is_run_twice_whoever_asks_for_it", "[real]") {
    const no_variables clean;
    unsigned runs = 0;
    const std::string text = last_words([&runs] {
        sim::each_seed(2, [&runs](sim::world& world) { (void)world.choose(5 + runs++, "how often it ran"); });
    });
    CAPTURE(text);
    CHECK(text.contains("was (how often it ran, "));
}
