// How benchmarks/micro measures: the best of many short rounds, which take turns.
#pragma once

#include "peers/asio_micro.hpp"

#include <chainring/runtime/executor.hpp>

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace micro {

// The results are used, so the work is done.
inline void check(bool right) {
    if (!right) std::abort();
}

// CPU time for what one thread does; for what two do at the same time, the time that passes.
struct measured {
    int count;
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
    int rounds = 1000;
};

inline double share_of_rounds = 1;
inline int rounds_of(int all) {
    return std::max(3, static_cast<int>(all * share_of_rounds));
}

inline double nanoseconds(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Runs a round of `count` and returns what one of them cost.
template <class Work> double timed(const measured& how, Work&& work) {
    const double begun = nanoseconds(how.clock);
    work();
    return (nanoseconds(how.clock) - begun) / how.count;
}

template <class Ours, class Theirs>
void compare(const char* name, const measured& how, Ours ours, Theirs theirs, bool with_theirs = true) {
    double best_of_ours = std::numeric_limits<double>::max();
    double best_of_theirs = best_of_ours;
    for (int left = rounds_of(how.rounds); left > 0; --left) {
        best_of_ours = std::min(best_of_ours, timed(how, ours));
        if (with_theirs) best_of_theirs = std::min(best_of_theirs, timed(how, theirs));
    }
    std::printf("%-48s %9.2f ns", name, best_of_ours);
    if (with_theirs) std::printf(" %9.2f ns %8.3f", best_of_theirs, best_of_ours / best_of_theirs);
    std::printf("\n");
}

// What tasks share (micro_shared.cpp).
void compare_shared(chainring::executor& home, asio_micro::context& asio);

// What it costs to reach another executor (micro_post.cpp).
void compare_posts(chainring::executor& home);

} // namespace micro
