// Fails on purpose, and only when it is named: scripts/shrink is tested with it.
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

} // namespace

TEST_CASE("a_world_that_fails_on_purpose", "[.]") {
    each_seed(100, [](std::uint64_t seed) { in_world(seed, mistake_a_part_for_the_whole); });
}
