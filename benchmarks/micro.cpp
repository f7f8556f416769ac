// What the building blocks cost, in nanoseconds of CPU time: the best of many short rounds, because other
// work on the machine only ever adds.
#include <chainring/chainring.hpp>

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <limits>

namespace cr = chainring;

namespace {

constexpr int rounds = 2000;

double cpu_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
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

cr::task<> nothing() {
    co_return;
}

cr::task<long> spawn_many(int count) {
    co_await cr::scope([count](cr::task_group& group) -> cr::task<> {
        for (int at = 0; at < count; ++at) group.spawn(nothing());
        co_return;
    });
    co_return count;
}

template <class Make> void measure(const char* name, int count, Make make) {
    cr::executor executor;
    double best = std::numeric_limits<double>::max();
    for (int round = 0; round < rounds; ++round) {
        const double begun = cpu_nanoseconds();
        if (executor.run(make(count)) == 0) std::abort(); // the result is used, so the work is done
        best = std::min(best, (cpu_nanoseconds() - begun) / count);
    }
    std::printf("%-44s %8.2f ns\n", name, best);
}

} // namespace

int main() {
    measure("await a task that completes at once", 10'000, await_many);
    measure("spawn and join a task that does nothing", 1'000, spawn_many);
}
