// What the building blocks cost, in nanoseconds of CPU time, beside Asio's where it is there: the best of many short
// rounds, which take turns, because other work on the machine only ever adds.
#include "micro.hpp"

#include "command_line.hpp"

#include <chainring/chainring.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

namespace cr = chainring;
using namespace micro;

namespace {

constexpr int armed_timers = 200'000;

cr::task<int> completes_at_once(int value) {
    co_return value;
}

cr::task<long> await_many(int count) {
    long sum = 0;
    for (int at = 0; at < count; ++at) {
        const int value = co_await completes_at_once(at);
        sum += value;
    }
    co_return sum;
}

cr::task<> nothing(int& ran) {
    ++ran;
    co_return;
}

cr::task<int> spawn_many(int count) {
    int ran = 0;
    co_await cr::scope([&](cr::task_group& group) -> cr::task<> {
        for (int at = 0; at < count; ++at) group.spawn(nothing(ran));
        co_return;
    });
    co_return ran;
}

cr::task<int> post_many(int count) {
    int ran = 0;
    cr::executor& home = *cr::executor::current();
    for (int at = 0; at < count; ++at) home.post([&ran] { ++ran; });
    while (ran < count) co_await cr::yield();
    co_return ran;
}

struct idle_timer final : cr::timer {
    void fire() noexcept override { std::abort(); }
};

// As a time-out does around an operation that ends in time.
cr::task<int> arm_many(int count, const std::vector<cr::duration>& delays) {
    cr::cancel_scope& parent = co_await cr::this_scope{};
    const cr::time_point now = parent.home().behind().now();
    int ended = 0;
    for (int at = 0; at < count; ++at) {
        cr::deadline_scope limit(parent, now + delays[static_cast<std::size_t>(at)]);
        if (!limit.end()) ++ended;
    }
    co_return ended;
}

std::vector<cr::duration> random_delays(std::size_t count) {
    std::minstd_rand random(1);
    std::uniform_int_distribution<long> seconds(3600, 36'000);
    std::vector<cr::duration> all;
    for (std::size_t at = 0; at < count; ++at) all.push_back(std::chrono::seconds(seconds(random)));
    return all;
}

} // namespace

int main(int argc, char** argv) {
    command_line arguments("micro: what the building blocks cost");
    arguments.option("--share", share_of_rounds, "of the rounds, for a quick look").between(0.001, 1);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    std::printf("%-48s %12s", "", "chainring");
    if constexpr (asio_micro::available) std::printf(" %12s %8s", "Asio", "ratio");
    std::printf("\n");

    cr::executor home;
    asio_micro::context asio;
    {
        // What chainring saves is worth more where these take longer.
        constexpr int count = 1'000;
        const auto call_many = [] {
            for (int at = 0; at < count; ++at) check(::syscall(SYS_getppid) >= 0);
        };
        compare("a system call that does nothing, for comparison", {.count = count}, call_many, [] {}, false);
    }
    {
        constexpr int count = 10'000;
        compare(
            "await a task that completes at once", {.count = count},
            [&] { check(home.run(await_many(count)) == long{count} * (count - 1) / 2); },
            [&] { check(asio.await_many(count) == long{count} * (count - 1) / 2); }, asio_micro::available);
    }
    {
        constexpr int count = 1'000;
        compare(
            "spawn and join a task that does nothing", {.count = count},
            [&] { check(home.run(spawn_many(count)) == count); },
            [&] { check(asio.spawn_many(count) == count); }, asio_micro::available);
    }
    {
        constexpr int count = 1'000;
        compare(
            "post to the own executor", {.count = count}, [&] { check(home.run(post_many(count)) == count); },
            [&] { check(asio.post_many(count) == count); }, asio_micro::available);
    }
    {
        constexpr int count = 1'000;
        const std::vector<cr::duration> delays = random_delays(armed_timers);
        const auto idle = std::make_unique<idle_timer[]>(armed_timers);
        // Of their own: what is measured later would pay for the timers too.
        cr::executor with_timers;
        asio_micro::context asio_with_timers;
        const cr::time_point now = with_timers.behind().now();
        for (int at = 0; at < armed_timers; ++at)
            with_timers.timers().arm(
                idle[static_cast<std::size_t>(at)], now + delays[static_cast<std::size_t>(at)]);
        asio_with_timers.keep_armed(delays);
        compare(
            "arm and cancel a timer, 200,000 armed", {.count = count},
            [&] { check(with_timers.run(arm_many(count, delays)) == count); },
            [&] { check(asio_with_timers.arm_many(count, delays) == count); }, asio_micro::available);
    }
    compare_shared(home, asio);
    compare_posts(home);
}
