// Programs on several simulated machines.
#include "last_words.hpp"

#include <chainring/runtime/sleep.hpp>
#include <chainring/runtime/spawn.hpp>
#include <chainring/runtime/when.hpp>
#include <chainring/sim/partition.hpp>
#include <chainring/sim/simulation.hpp>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr std::uint16_t echo_port = 7000;

task<> echo_to(tcp_stream peer) {
    for (;;) {
        auto received = co_await peer.receive();
        if (!received || received->empty()) co_return;
        const auto sent = co_await peer.send(std::move(*received));
        if (!sent) co_return;
    }
}

task<> serve_echo() {
    auto listener = must(tcp_listener::bind({"0.0.0.0", echo_port}));
    co_await scope([&](task_group& group) -> task<> {
        for (;;) {
            auto peer = co_await listener.accept();
            if (!peer) co_return;
            group.spawn(echo_to(std::move(*peer)));
        }
    });
}

// Sends one letter after another, each when the one before it has come back. Tells how far it came.
task<> ask_for_echo(const char* server, unsigned letters, unsigned& echoed, std::error_code& error) {
    auto stream = co_await tcp_stream::connect({server, echo_port});
    while (!stream && stream.error() == std::errc::connection_refused) { // the server has not started yet
        co_await sleep(10ms);
        stream = co_await tcp_stream::connect({server, echo_port});
    }
    if (!stream) {
        error = stream.error();
        co_return;
    }
    for (; echoed < letters; ++echoed) {
        const auto sent = co_await stream->send(std::string(1, static_cast<char>('a' + echoed % 26)));
        if (!sent) {
            error = sent.error();
            co_return;
        }
        const auto received = co_await stream->receive();
        if (!received || received->empty()) {
            error = received ? make_error_code(errc::closed) : received.error();
            co_return;
        }
        CHECK(received->text() == std::string(1, static_cast<char>('a' + echoed % 26)));
    }
}

// A letter every 10 ms, until that fails.
task<> send_now_and_then(const char* server, std::error_code& error) {
    auto stream = must(co_await tcp_stream::connect({server, echo_port}));
    while (!error) {
        const auto sent = co_await stream.send("x");
        if (!sent) error = sent.error();
        must(co_await sleep(10ms));
    }
}

// A client and a server, each on its machine.
struct echo_pair {
    sim::simulation play;
    unsigned echoed = 0;
    std::error_code error;
    sim::host& server;
    sim::host& client;

    echo_pair(sim::world& world, unsigned letters, const sim::latency& way = {})
        : play(world)
        , server(play.add("10.0.0.1", serve_echo, sim::drawn_options(world)))
        , client(play.add(
              "10.0.0.2", [this, letters] { return ask_for_echo("10.0.0.1", letters, echoed, error); },
              sim::drawn_options(world))) {
        play.traffic().set_latency(way);
    }
};

} // namespace

TEST_CASE("programs_on_two_machines_talk_to_each_other") {
    sim::each_seed(fewer(500), [](sim::world& world) {
        echo_pair pair(world, 20);
        pair.play.run_until([&] { return pair.client.ended(); });
        CHECK(pair.echoed == 20);
    });
}

TEST_CASE("what_is_sent_takes_its_latency_there_and_back") {
    sim::world world(1, sim::faults{});
    echo_pair pair(world, 10, {.least = 20ms, .most = 20ms});
    pair.client.end(sim::death::killed);
    pair.play.run_for(1s);
    pair.client.start();
    const time_point begun = world.now();
    pair.play.run_until([&] { return pair.client.ended(); });
    CHECK(pair.echoed == 10);
    const duration round_trip = 40ms;
    // One for the connection and one for each letter.
    CHECK(world.now() - begun >= 11 * round_trip);
    CHECK(world.now() - begun < 12 * round_trip);
}

TEST_CASE("the_same_seed_takes_several_machines_the_same_way") {
    const auto run = [](sim::world& world) {
        echo_pair pair(world, 10, {.least = 0ms, .most = 30ms});
        pair.play.run_until([&] { return pair.client.ended(); });
    };
    sim::each_seed(fewer(50), run, {.twice = true});
}

TEST_CASE("what_is_resumed_belongs_to_the_hash") {
    const auto hash_with = [](int yields) {
        sim::world world(1, sim::faults{});
        sim::simulation play(world);
        auto& only = play.add("10.0.0.1", [yields]() -> task<> {
            for (int i = 0; i < yields; ++i) co_await yield();
        });
        play.run_until([&] { return only.ended(); });
        CHECK(world.completions() == 0);
        return world.hash();
    };
    CHECK(hash_with(3) == hash_with(3));
    CHECK(hash_with(3) != hash_with(4));
}

TEST_CASE("executors_that_sleep_are_woken_by_each_others_posts") {
    sim::each_seed(fewer(300), [](sim::world& world) {
        sim::simulation play(world);
        struct player {
            sim::host* at = nullptr;
            player* other = nullptr;
            unsigned hits = 0;

            task<> play(unsigned to) {
                while (hits < to) co_await sleep(24h * 365); // until it is cancelled
            }
            void hit(unsigned to) {
                if (++hits == to) at->home().root_scope().cancel();
                if (other->hits < to) other->at->home().post([to, next = other] { next->hit(to); });
            }
        } one, two;
        one.other = &two;
        two.other = &one;
        constexpr unsigned hits = 50;
        one.at = &play.add("10.0.0.1", [&] { return one.play(hits); }, sim::drawn_options(world));
        two.at = &play.add("10.0.0.2", [&] { return two.play(hits); }, sim::drawn_options(world));
        play.run_for(1s);
        one.at->home().post([&] { one.hit(hits); });
        play.run_until([&] { return one.at->ended() && two.at->ended(); });
        CHECK(one.hits == hits);
        CHECK(two.hits == hits);
    });
}

TEST_CASE("a_host_that_nobody_has_set_up_cannot_be_reached") {
    sim::world world(1, sim::faults{});
    sim::simulation play(world);
    unsigned echoed = 0;
    std::error_code error;
    auto& client = play.add("10.0.0.2", [&] { return ask_for_echo("10.0.0.9", 1, echoed, error); });
    play.run_until([&] { return client.ended(); });
    CHECK(error == std::errc::host_unreachable);
}

TEST_CASE("each_machine_has_ports_and_names_of_its_own") {
    sim::world world(1, sim::faults{});
    sim::simulation play(world);
    unsigned bound = 0;
    const auto bind_both = [&bound]() -> task<> {
        auto inet = must(tcp_listener::bind({"0.0.0.0", echo_port}));
        auto loop = must(tcp_listener::bind({"127.0.0.1", echo_port + 1}));
        auto local = must(unix_listener::bind(endpoint::from_abstract_name("same").value()));
        CHECK(error_of(tcp_listener::bind({"10.0.0.7", echo_port})) == std::errc::address_not_available);
        ++bound;
        co_await sleep(1s);
    };
    auto& one = play.add("10.0.0.1", bind_both);
    auto& other = play.add("10.0.0.2", bind_both);
    play.run_until([&] { return one.ended() && other.ended(); });
    CHECK(bound == 2);
}

TEST_CASE("the_peers_of_a_killed_program_hear_of_it_and_it_can_be_started_again") {
    sim::each_seed(fewer(300), [](sim::world& world) {
        echo_pair pair(world, 1000, {.least = 0ms, .most = 5ms});
        pair.play.run_until([&] { return pair.echoed >= 5 || pair.client.ended(); });
        REQUIRE_FALSE(pair.client.ended());
        pair.server.restart();
        pair.play.run_until([&] { return pair.client.ended(); });
        CHECK(pair.echoed < 1000);
        CHECK(pair.error);
        pair.echoed = 990;
        pair.error = {};
        pair.client.restart();
        pair.play.run_until([&] { return pair.client.ended(); });
        CHECK(pair.echoed == 1000);
        CHECK_FALSE(pair.error);
    });
}

TEST_CASE("a_program_may_be_killed_in_the_middle_of_anything") {
    sim::each_seed(fewer(300), [](sim::world& world) {
        echo_pair pair(world, 1000, {.least = 0ms, .most = 5ms});
        for (unsigned kills = 0; kills < 6; ++kills) {
            pair.play.run_for(1ms * world.choose(20, "until a kill"));
            sim::host& victim = world.choose(2, "who is killed") == 0 ? pair.server : pair.client;
            victim.restart(world.choose(2, "how") == 0 ? sim::death::killed : sim::death::power_cut);
        }
        world.heal();
        pair.echoed = 995;
        pair.error = {};
        pair.server.restart();
        pair.client.restart();
        pair.play.run_until([&] { return pair.client.ended(); });
        CHECK(pair.echoed == 1000);
    });
}

TEST_CASE("a_machine_without_power_answers_nothing_and_resets_what_it_does_not_know_when_it_is_back") {
    sim::world world(1, sim::faults{});
    sim::simulation play(world);
    play.traffic().set_latency({.least = 1ms, .most = 1ms});
    std::error_code error;
    std::error_code late_error;
    unsigned late_letters = 0;
    sim::host& server = play.add("10.0.0.1", serve_echo);
    sim::host& client = play.add("10.0.0.2", [&error] { return send_now_and_then("10.0.0.1", error); });
    play.run_for(1s);
    server.end(sim::death::power_cut);
    sim::host& late =
        play.add("10.0.0.3", [&] { return ask_for_echo("10.0.0.1", 3, late_letters, late_error); });
    play.run_for(10s);
    CHECK_FALSE(client.ended());
    CHECK_FALSE(late.ended());
    server.start();
    play.run_until([&] { return client.ended() && late.ended(); }, 1s);
    CHECK(error == std::errc::connection_reset);
    CHECK_FALSE(late_error);
    CHECK(late_letters == 3);
}

TEST_CASE("a_program_that_has_ended_and_left_something_behind_is_told_what") {
    const auto left_by = [](const std::function<task<>()>& program) {
        return last_words([&program] {
            sim::world world(5, sim::faults{});
            sim::simulation play(world);
            sim::host& only = play.add("10.0.0.1", program);
            play.run_until([&] { return only.ended(); });
            only.end(sim::death::killed);
        });
    };
    const std::string stream = left_by([]() -> task<> {
        auto listener = must(tcp_listener::bind({"10.0.0.1", echo_port}));
        auto both = co_await when_all(listener.accept(), tcp_stream::connect({"10.0.0.1", echo_port}));
        new tcp_stream(must(std::move(std::get<1>(both))));
    });
    CAPTURE(stream);
    CHECK(stream.contains("the program of 10.0.0.1 has ended and holds:"));
    CHECK(stream.contains("10.0.0.1:7000"));
    const std::string detached = left_by([]() -> task<> {
        spawn(
            *executor::current(), []() -> task<> { (void)co_await chainring::sleep(24h); }(),
            [](const ended_task<void>&) {});
        co_return;
    });
    CAPTURE(detached);
    CHECK(detached.contains("has ended and holds:"));
    CHECK(detached.contains("sleep"));
}

TEST_CASE("a_program_that_has_ended_need_not_wait_until_its_peer_has_read_what_it_sent_without_a_copy") {
    sim::each_seed(fewer(200), [](sim::world& world) {
        sim::simulation play(world);
        play.add("10.0.0.1", serve_echo);
        sim::host& client = play.add("10.0.0.2", []() -> task<> {
            auto stream = co_await tcp_stream::connect({"10.0.0.1", echo_port});
            if (!stream) co_return;
            must(stream->set_zero_copy(1));
            must(co_await stream->send(std::string(5000, 'x')));
            (void)co_await stream->close(100s);
        });
        play.run_until([&] { return client.ended(); });
        client.end(sim::death::killed);
    });
}

TEST_CASE("the_file_of_a_killed_programs_unix_listener_is_still_there") {
    sim::world world(5, sim::faults{});
    sim::simulation play(world);
    std::error_code error;
    unsigned clean_ends = 0;
    sim::host* self = nullptr;
    sim::host& only = play.add("10.0.0.1", [&]() -> task<> {
        struct counts {
            unsigned& ends;
            sim::host*& of;
            ~counts() {
                if (!of->ending()) ++ends;
            }
        } const counting{clean_ends, self};
        auto listener = unix_listener::bind(endpoint::parse("unix:/run/server").value());
        if (!listener) error = listener.error();
        if (listener) must(co_await sleep(1h));
    });
    self = &only;
    play.run_for(1s);
    only.restart();
    play.run_until([&] { return only.ended(); });
    CHECK(error == std::errc::address_in_use);
    CHECK(clean_ends == 1);
}

TEST_CASE("what_cannot_be_done_with_a_simulation_is_refused") {
    const auto refused = [](const auto& misuse) {
        return last_words([&misuse] {
            sim::world world(5, sim::faults{});
            sim::simulation play(world);
            misuse(play);
        });
    };
    const std::string itself = refused([](sim::simulation& play) {
        sim::host* self = nullptr;
        self = &play.add("10.0.0.1", [&self]() -> task<> {
            must(co_await chainring::sleep(1ms));
            self->end(sim::death::killed);
        });
        play.run_for(1s);
    });
    CHECK(itself.contains("the program of 10.0.0.1 ends itself"));
    const std::string nested = refused([](sim::simulation& play) {
        play.add("10.0.0.1", [&play]() -> task<> {
            play.run_for(1s);
            co_return;
        });
        play.run_for(1s);
    });
    CHECK(nested.contains("a program lets time pass, which its test may do"));
    const std::string twice =
        refused([](sim::simulation& play) { play.add("10.0.0.1", serve_echo).start(); });
    CHECK(twice.contains("the program of 10.0.0.1 is started while it runs"));

    sim::world world(5, sim::faults{});
    sim::simulation play(world);
    play.add("10.0.0.1", serve_echo);
    CHECK_THROWS_AS(sim::partition(play.traffic(), "10.0.0.1", "10.0.0.2"), std::invalid_argument);
    CHECK_THROWS_AS(sim::isolated_host(play.traffic(), "10.0.0.2"), std::invalid_argument);
    CHECK_THROWS_AS(play.add("10.0.0.1", serve_echo), std::invalid_argument);
    CHECK_THROWS_AS(play.traffic().set_latency({.least = 2ms, .most = 1ms}), std::invalid_argument);
}

TEST_CASE("two_hosts_that_are_cut_off_from_each_other_go_on_when_they_are_not") {
    sim::each_seed(fewer(300), [](sim::world& world) {
        echo_pair pair(world, 50, {.least = 1ms, .most = 5ms});
        unsigned before = 0;
        {
            const sim::partition cut(pair.play.traffic(), "10.0.0.1", "10.0.0.2");
            pair.play.run_for(1min);
            before = pair.echoed;
            CHECK(before == 0);
            CHECK_FALSE(pair.client.ended());
        }
        pair.play.run_until([&] { return pair.client.ended(); });
        CHECK(pair.echoed == 50);
    });
}
