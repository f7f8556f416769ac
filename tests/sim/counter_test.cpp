// The sample simulated_counter, of which the documentation tells, with sanitizers too.
#include "../../samples/simulated_counter/bad_day.hpp"
#include "simulation.hpp"

using namespace chainring;
using namespace chainring::test;

namespace {

std::uint64_t counted_in(sim::world& world, counter::memory remembered) {
    counter::bad_day day(world, remembered);
    return day.total_in_the_evening();
}

constexpr std::uint64_t confirmed_in_all = 2 * counter::bad_day::additions;

} // namespace

TEST_CASE("a_counter_that_forgets_requests_counts_some_of_them_twice_and_a_few_worlds_show_it") {
    unsigned wrong = 0;
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        sim::world world(seed);
        const std::uint64_t counted = counted_in(world, counter::memory::none);
        CHECK(counted >= confirmed_in_all);
        wrong += counted != confirmed_in_all ? 1 : 0;
    }
    CHECK(wrong > 0);
}

TEST_CASE("a_counter_that_remembers_the_last_request_of_each_client_counts_each_once_whatever_happens") {
    sim::each_seed(fewer(300), [](sim::world& world) {
        CAPTURE(world.seed());
        const std::uint64_t counted = counted_in(world, counter::memory::of_last_request);
        CHECK(counted == confirmed_in_all);
    });
}

TEST_CASE("the_counter_survives_operations_that_fail_as_well") {
    const auto count = [](sim::world& world) {
        CAPTURE(world.seed());
        const std::uint64_t counted = counted_in(world, counter::memory::of_last_request);
        CHECK(counted == confirmed_in_all);
    };
    sim::each_seed(fewer(300), count, {.given = sim::faults::with_errors});
}
