// Worlds of a handful of operations, all of them.
#pragma once

#include "simulation.hpp"

#include <chainring/sim/exhaustive.hpp>

#include <cstdio>

namespace chainring::test {

// No sizes are drawn, and nothing is larger than it must be.
inline executor_options smallest_options() {
    executor_options options;
    options.ring = {.submission_entries = 8, .completion_entries = 16};
    options.buffers = {.block_size = 256, .blocks = 4, .most_blocks = 16};
    options.direct_descriptors = 2;
    options.budget = 32;
    return options;
}

// Where everything takes longer: of the faults in one run, and of the worlds the first ones.
constexpr unsigned up_to(unsigned faults) noexcept {
    return optimized ? faults : 1;
}
inline constexpr std::uint64_t first_worlds = 300;

// How many there were, for all tests of a program.
class world_count {
  public:
    ~world_count() {
        if (worlds_ != 0)
            std::printf("measured: %llu small worlds\n", static_cast<unsigned long long>(worlds_));
    }
    void add(std::uint64_t worlds) noexcept { worlds_ += worlds; }

  private:
    std::uint64_t worlds_ = 0;
};
inline world_count small_world_count;

// Runs the body in each world of such faults, and checks that these were all, and at least so many that something was
// tried.
template <class Body>
void in_every_world(
    std::uint64_t at_least, const sim::faults& given, const sim::exploration_limits& limits, Body body) {
    sim::exploration_limits of_this_build = limits;
    if (!optimized) of_this_build.runs = first_worlds;
    const sim::explored all = sim::explore(
        given, of_this_build, [&](sim::world& world) { in_world(world, smallest_options(), body); });
    if (sim::wanted_replay()) return; // of one world
    small_world_count.add(all.runs);
    CAPTURE(all.runs);
    CHECK((all.complete || !optimized));
    CHECK_FALSE(all.thinned);
    CHECK(all.runs >= (optimized ? at_least : 10));
}

// Ways of accepting that are not the simplest.
#define EACH_OTHER_ACCEPT                                                                                    \
    chainring::test::ahead<chainring::test::over_tcp>, chainring::test::directly<chainring::test::over_tcp>

#define EACH_STREAM chainring::test::over_tcp, chainring::test::over_unix, chainring::test::over_seqpacket

// The same in other ways: the near end is a connection that was accepted into a direct descriptor; its sends are without a copy;
// connections are accepted ahead.
template <class Over> struct directly : Over {
    static constexpr bool direct = true;
};
struct without_copies : over_tcp {
    static constexpr bool zero_copy = true;
};
template <class Over> struct ahead : Over {
    static constexpr bool accepts_ahead = true;
};

template <class Over> constexpr bool is_direct = requires { Over::direct; };
template <class Over> constexpr bool is_without_copies = requires { Over::zero_copy; };

// Of the faults in one run beside an accept, which in other ways than the simplest has more orders.
template <class Over>
constexpr unsigned accept_faults = is_direct<Over> || requires { Over::accepts_ahead; } ? 1 : 2;

template <class Over> endpoint small_address() {
    if constexpr (Over::tcp)
        return {"127.0.0.1", 7000};
    else
        return endpoint::from_abstract_name("small").value();
}

template <class Over> typename Over::listener small_listener() {
    listen_options options;
    options.direct_descriptors = is_direct<Over>;
    return must(Over::listener::bind(small_address<Over>(), options));
}

template <class Over> task<stream_pair<Over>> small_pair() {
    auto listener = small_listener<Over>();
    auto near = must(co_await Over::stream::connect(small_address<Over>()));
    auto far = must(co_await listener.accept());
    must(co_await listener.close());
    if constexpr (is_direct<Over>) std::swap(near, far);
    if constexpr (is_without_copies<Over>) must(near.set_zero_copy(1));
    co_return stream_pair<Over>{std::move(near), std::move(far)};
}

// A text to send: what is sent without a copy is the socket's own.
template <class Over> auto small_text(const std::string& text) {
    if constexpr (is_without_copies<Over>)
        return std::string(text);
    else
        return std::string_view(text);
}

// Accepts one connection after another, in one of the two ways.
template <class Over> class small_acceptor {
  public:
    explicit small_acceptor(typename Over::listener& from)
        : from_(from) {
        if constexpr (requires { Over::accepts_ahead; }) ahead_.emplace(from);
    }
    auto next() noexcept { return ahead_ ? ahead_->next() : from_.accept(); }

  private:
    typename Over::listener& from_;
    std::optional<connection_stream<typename Over::stream>> ahead_;
};

// These and what can happen to a send without a copy.
template <class Over> constexpr sim::faults small_faults_of(sim::faults given) {
    if constexpr (is_without_copies<Over>) given.failed_pin = given.late_notification = 1;
    return given;
}

// Some turns, of which the world says how many.
inline task<> some_turns(sim::world& world, std::uint32_t most) {
    const std::uint32_t turns = world.choose(most + 1, "turns");
    for (std::uint32_t turn = 0; turn < turns; ++turn) co_await turn_begin();
}

// Runs a task in a group that is cancelled after some turns.
inline task<> run_and_cancel(sim::world& world, task<> cancelled) {
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(std::move(cancelled));
        co_await some_turns(world, 3);
        group.cancel();
    });
}

} // namespace chainring::test
