// What the building blocks cost, in nanoseconds of CPU time, beside Asio's where it is there: the best of many short
// rounds, which take turns, because other work on the machine only ever adds.
#include "peers/asio_micro.hpp"

#include <chainring/chainring.hpp>

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <vector>

namespace cr = chainring;

namespace {

constexpr int rounds = 1000;
constexpr int armed_timers = 200'000;

double cpu_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// The results are used, so the work is done.
void check(bool right) {
    if (!right) std::abort();
}

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

// Runs a round of `count` and returns what one of them cost.
template <class Work> double timed(int count, Work&& work) {
    const double begun = cpu_nanoseconds();
    work();
    return (cpu_nanoseconds() - begun) / count;
}

template <class Ours, class Theirs> void compare(const char* name, int count, Ours ours, Theirs theirs) {
    double best_of_ours = std::numeric_limits<double>::max();
    double best_of_theirs = best_of_ours;
    for (int round = 0; round < rounds; ++round) {
        best_of_ours = std::min(best_of_ours, timed(count, ours));
        if constexpr (asio_micro::available) best_of_theirs = std::min(best_of_theirs, timed(count, theirs));
    }
    std::printf("%-48s %9.2f ns", name, best_of_ours);
    if constexpr (asio_micro::available)
        std::printf(" %9.2f ns %8.3f", best_of_theirs, best_of_ours / best_of_theirs);
    std::printf("\n");
}

std::vector<cr::duration> random_delays(std::size_t count) {
    std::minstd_rand random(1);
    std::uniform_int_distribution<long> seconds(3600, 36'000);
    std::vector<cr::duration> all;
    for (std::size_t at = 0; at < count; ++at) all.push_back(std::chrono::seconds(seconds(random)));
    return all;
}

} // namespace

int main() {
    std::printf("%-48s %12s", "", "chainring");
    if constexpr (asio_micro::available) std::printf(" %12s %8s", "Asio", "ratio");
    std::printf("\n");

    cr::executor home;
    asio_micro::context asio;
    {
        constexpr int count = 10'000;
        compare(
            "await a task that completes at once", count,
            [&] { check(home.run(await_many(count)) == long{count} * (count - 1) / 2); },
            [&] { check(asio.await_many(count) == long{count} * (count - 1) / 2); });
    }
    {
        constexpr int count = 1'000;
        compare(
            "spawn and join a task that does nothing", count,
            [&] { check(home.run(spawn_many(count)) == count); },
            [&] { check(asio.spawn_many(count) == count); });
    }
    {
        constexpr int count = 1'000;
        compare(
            "post to the own executor", count, [&] { check(home.run(post_many(count)) == count); },
            [&] { check(asio.post_many(count) == count); });
    }
    {
        constexpr int count = 1'000;
        const std::vector<cr::duration> delays = random_delays(armed_timers);
        const auto idle = std::make_unique<idle_timer[]>(armed_timers);
        const cr::time_point now = home.behind().now();
        for (int at = 0; at < armed_timers; ++at)
            home.timers().arm(idle[static_cast<std::size_t>(at)], now + delays[static_cast<std::size_t>(at)]);
        asio.keep_armed(delays);
        compare(
            "arm and cancel a timer, 200,000 armed", count,
            [&] { check(home.run(arm_many(count, delays)) == count); },
            [&] { check(asio.arm_many(count, delays) == count); });
    }
}
