// What a server prints at its end.
#pragma once

#include <chainring/runtime/statistics.hpp>

#include <cstdint>
#include <cstdio>
#include <utility>

// Of several executors.
inline void add(chainring::statistics& sum, const chainring::statistics& more) {
    sum.messages_sent += more.messages_sent;
    sum.batches_sent += more.batches_sent;
    sum.bytes_sent += more.bytes_sent;
    sum.turns += more.turns;
    sum.enters += more.enters;
    sum.sqes += more.sqes;
    sum.cqes += more.cqes;
    sum.wakeups += more.wakeups;
    sum.no_buffers += more.no_buffers;
    sum.cq_overflows += more.cq_overflows;
    sum.accepts_deferred += more.accepts_deferred;
    sum.operations_in_flight += more.operations_in_flight;
}

inline void print_counters(const chainring::statistics& counters) {
    const std::pair<const char*, std::uint64_t> shown[] = {
        {"messages", counters.messages_sent},
        {"batches", counters.batches_sent},
        {"bytes", counters.bytes_sent},
        {"turns", counters.turns},
        {"enters", counters.enters},
        {"sqes", counters.sqes},
        {"cqes", counters.cqes},
        {"wakeups", counters.wakeups},
        {"pumps", counters.pumps},
        {"no_buffers", counters.no_buffers},
        {"cq_overflows", counters.cq_overflows},
        {"accepts_deferred", counters.accepts_deferred},
        {"operations_in_flight", counters.operations_in_flight},
    };
    std::printf("counters:");
    for (const auto& [name, value] : shown)
        std::printf(" %s=%llu", name, static_cast<unsigned long long>(value));
    std::printf("\n");
}
