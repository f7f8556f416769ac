// One world with all that a server does: echo, a proxy, a chat room, records and datagrams, with clients of every
// temper, and after a while without faults. What was received is what was sent, everything ends, and nothing is left.
#include "mixed_datagrams.hpp"

#include <cstdio>

using namespace chainring;
using namespace chainring::test;

namespace {

using mixed::town;

// The number of worlds for scripts/test is given to the programs that share them (meson.build).
constexpr std::uint64_t mixed_seeds = 1000;
// Of virtual time: from the first client to the last close.
constexpr duration longest_life = std::chrono::minutes(10);

task<> come_and_go(town& all) {
    switch (all.choose(7, "a client")) {
    case 0: return mixed::echo_client<tcp_stream>(all, mixed::echo_address());
    case 1: return mixed::echo_client<unix_stream>(all, mixed::unix_echo_address());
    case 2:
    case 3: return mixed::echo_client<tcp_stream>(all, mixed::proxy_address());
    case 4: return mixed::chat_client(all);
    case 5: return mixed::datagram_pair(all);
    default: return mixed::record_client(all);
    }
}

// In several pauses where a clock may jump, which ends one of them.
task<> heal_after_a_while(town& all, sim::simulated_kernel& kernel) {
    const std::uint32_t pauses = all.world.knobs().clock_jump != 0 ? 10 : 1;
    for (std::uint32_t pause = 0; pause < pauses; ++pause)
        must(co_await chainring::sleep(all.up_to_milliseconds(30 / pauses, "how long there are faults")));
    all.world.heal();
    kernel.limit_descriptors(1024);
    all.healed = true;
}

// At most six at a time, whoever they are.
task<> clients(town& all, sim::simulated_kernel& kernel) {
    const group_options limited{.max_children = 6};
    co_await scope(limited, [&](task_group& group) -> task<> {
        group.spawn(heal_after_a_while(all, kernel));
        const std::uint32_t count = 1 + all.choose(12, "clients");
        for (std::uint32_t number = 0; number < count; ++number) {
            must(co_await group.spawn_bounded(come_and_go(all)));
            if (all.choose(3, "a pause") == 2)
                must(co_await chainring::sleep(all.up_to_milliseconds(5, "how long")));
        }
    });
    // In a world without faults everybody is served to the end.
    co_await scope([&](task_group& group) -> task<> {
        const std::uint32_t count = all.choose(3, "clients after the healing");
        for (std::uint32_t number = 0; number < count; ++number) group.spawn(come_and_go(all));
        co_return;
    });
}

listen_options options_of(town& all) {
    listen_options drawn;
    drawn.backlog = static_cast<int>(all.choose(4, "backlog"));
    drawn.max_connections = all.choose(5, "a limit of connections") == 4 ? 1 + all.choose(3, "which") : 0;
    drawn.refuse_when_out_of_descriptors = all.choose(4, "refuse") == 3;
    return drawn;
}

task<> serve_everybody(town& all, sim::simulated_kernel& kernel) {
    auto echo = must(tcp_listener::bind(mixed::echo_address(), options_of(all)));
    auto local_echo = must(unix_listener::bind(mixed::unix_echo_address(), options_of(all)));
    auto proxy = must(tcp_listener::bind(mixed::proxy_address(), options_of(all)));
    auto chat = must(tcp_listener::bind(mixed::chat_address(), options_of(all)));
    auto records = must(seqpacket_listener::bind(mixed::records_address(), options_of(all)));
    if (all.one_in(4, "descriptors are short"))
        kernel.limit_descriptors(kernel.open_descriptors() + 1 + all.choose(20, "descriptors"));
    if (all.one_in(3, "errors occur")) all.let_errors_occur();
    mixed::chat_room room(all);
    co_await scope([&](task_group& servers) -> task<> {
        const auto echo_tcp = [&all](tcp_stream peer) { return mixed::echo_session(all, std::move(peer)); };
        const auto echo_unix = [&all](unix_stream peer) { return mixed::echo_session(all, std::move(peer)); };
        const auto relay_all = [&all](tcp_stream peer) { return mixed::proxy_session(all, std::move(peer)); };
        const auto chat_with = [&room](tcp_stream peer) { return room.serve(std::move(peer)); };
        const auto echo_records = [&all](seqpacket_stream peer) {
            return mixed::record_session(all, std::move(peer));
        };
        servers.spawn(mixed::accept_all(all, echo, servers, echo_tcp));
        servers.spawn(mixed::accept_all(all, local_echo, servers, echo_unix));
        servers.spawn(mixed::accept_all(all, proxy, servers, relay_all));
        servers.spawn(mixed::accept_all(all, chat, servers, chat_with));
        servers.spawn(mixed::accept_all(all, records, servers, echo_records));
        co_await clients(all, kernel);
        (void)co_await echo.close();
        (void)co_await local_echo.close();
        (void)co_await proxy.close();
        (void)co_await chat.close();
        (void)co_await records.close();
    });
}

task<> live(town& all, sim::simulated_kernel& kernel) {
    // No timeout, whose cancellation might end what hangs: a deadlock tells what everybody waits for.
    const time_point begun = all.world.now();
    co_await serve_everybody(all, kernel);
    CHECK(all.world.now() - begun < longest_life);
    all.check_all();
}

task<> mixed_world(sim::world& world, sim::simulated_kernel& kernel) {
    town all(world);
    co_await live(all, kernel);
}

} // namespace

TEST_CASE("in_a_mixed_world_what_was_received_is_what_was_sent_and_nothing_is_left") {
    std::uint64_t operations = 0;
    const auto begun = std::chrono::steady_clock::now();
    const std::uint64_t worlds = sim::each_seed(fewer(mixed_seeds), [&operations](sim::world& world) {
        operations += in_world(world, mixed_world).completions;
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf(
        "measured: %llu mixed worlds in %.1f s, %.0f seeds/s, %.0f operations/s\n",
        static_cast<unsigned long long>(worlds), took.count(), static_cast<double>(worlds) / took.count(),
        static_cast<double>(operations) / took.count());
}

TEST_CASE("a_mixed_world_is_the_same_the_second_time") {
    for (std::uint64_t seed = 0; seed < 20; ++seed)
        sim::run_twice(seed, [](sim::world& world) { in_world(world, mixed_world); });
}

TEST_CASE("in_some_mixed_worlds_operations_fail_descriptors_run_out_and_the_clock_jumps_and_in_others_not") {
    constexpr int worlds = 40;
    int failing = 0;
    int short_of_descriptors = 0;
    int jumping = 0;
    int heard_of_failures = 0;
    for (std::uint64_t seed = 0; seed < worlds; ++seed) {
        sim::world world(seed);
        in_world(world, [&](sim::world& within, sim::simulated_kernel& kernel) -> task<> {
            town all(within);
            co_await live(all, kernel);
            heard_of_failures += all.heard_of_failures() ? 1 : 0;
        });
        const std::string configuration = world.configuration();
        failing += configuration.contains(" failed_operation=") ? 1 : 0;
        short_of_descriptors += configuration.contains(" short_of_descriptors=") ? 1 : 0;
        jumping += configuration.contains(" clock_jump=") ? 1 : 0;
    }
    for (const int with : {failing, short_of_descriptors, jumping}) {
        CHECK(with > 0);
        CHECK(with < worlds / 2);
    }
    CHECK(heard_of_failures > 0);
}
