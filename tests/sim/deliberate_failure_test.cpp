// Fail on purpose, and only when they are named: scripts/shrink is tested with them.
#include "simulation.hpp"

using namespace chainring;
using namespace chainring::test;

namespace {

// Many decisions, of which two matter: a receive that is short, and after it one that brings more than ten bytes.
task<> mistake_a_part_for_the_whole(sim::world& world) {
    auto listener = must(unix_listener::bind(endpoint::from_abstract_name("deliberate").value()));
    auto near = must(co_await unix_stream::connect(endpoint::from_abstract_name("deliberate").value()));
    auto far = must(co_await listener.accept());
    bool was_short = false;
    for (int round = 0; round < 20; ++round) {
        const std::string text(1 + world.choose(50, "size of a message"), 'x');
        co_await send_all(near, text);
        std::byte memory[50];
        const std::size_t got = must(co_await far.receive_into(memory));
        CHECK_FALSE((was_short && got > 10));
        was_short = was_short || got < text.size();
        if (got < text.size()) (void)must(co_await far.receive_into(memory));
    }
}

// Of a world with errors the log says what was decided, not how often they occur.
task<> expect_each_connect_to_succeed(sim::world&) {
    const endpoint at("127.0.0.1", 7000);
    auto listener = must(tcp_listener::bind(at));
    for (int round = 0; round < 20; ++round) {
        auto near = co_await tcp_stream::connect(at);
        CHECK(near);
        if (!near) co_return;
        auto far = co_await listener.accept();
        (void)co_await near->close();
        if (far) (void)co_await far->close();
    }
}

} // namespace

TEST_CASE("a_world_that_fails_on_purpose", "[.]") {
    sim::each_seed(fewer(100), [](sim::world& world) { in_world(world, mistake_a_part_for_the_whole); });
}

TEST_CASE("a_hostile_world_that_fails_on_purpose", "[.]") {
    const auto run = [](sim::world& world) { in_world(world, expect_each_connect_to_succeed); };
    const auto given = [](std::uint64_t) { return sim::faults{.later = 500, .failed_operation = 100}; };
    sim::each_seed(fewer(100), run, {.given = given});
}

// Its name has what Catch2 and a shell take for something else.
CHAINRING_SIM_TEST(fewer(100), "a test that fails on purpose, [and] isn't as short", "[.]") {
    const auto nothing = []() -> task<> { co_return; };
    sim::host& only = play.add("10.0.0.1", nothing);
    play.run_until([&] { return only.ended(); });
    for (int round = 0; round < 20; ++round)
        if (world.choose(100, "a number") == 99) FAIL_CHECK("it is 99");
}
