// What chainring's contestants have in common: listening, one task for each connection, the counters at the end.
#pragma once

#include <chainring/chainring.hpp>

#include <cstdio>
#include <functional>
#include <string>

namespace serving {

namespace cr = chainring;

// What is served besides, at the same address.
using beside = std::function<cr::task<>(cr::endpoint)>;

template <class Stream, class Session>
cr::task<cr::result<void>> accept_each(cr::endpoint at, Session session, beside further) {
    auto listener = co_await cr::try_(cr::listener<Stream>::bind(at));
    const auto local = co_await cr::try_(listener.local());
    std::printf("listening on %s\n", local.to_string().c_str());
    std::fflush(stdout);
    co_return co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<void>> {
        if (further) sessions.spawn(further(local));
        for (;;) {
            Stream peer = co_await cr::try_(listener.accept());
            sessions.spawn(session(std::move(peer)));
        }
    });
}

inline void print_counters(const cr::statistics& counters) {
    std::printf(
        "counters: messages=%llu batches=%llu bytes=%llu turns=%llu enters=%llu sqes=%llu cqes=%llu\n",
        static_cast<unsigned long long>(counters.messages_sent),
        static_cast<unsigned long long>(counters.batches_sent),
        static_cast<unsigned long long>(counters.bytes_sent), static_cast<unsigned long long>(counters.turns),
        static_cast<unsigned long long>(counters.enters), static_cast<unsigned long long>(counters.sqes),
        static_cast<unsigned long long>(counters.cqes));
}

// Serves each connection with `session`, which makes a task of a stream, until a signal ends it. The value is main's.
template <class Stream, class Session>
int serve(
    const char* program, const std::string& listen, Session session, const cr::runtime_options& options = {},
    beside further = {}) {
    const auto at = cr::endpoint::parse(listen);
    if (!at) {
        std::fprintf(stderr, "%s: %s: %s\n", program, listen.c_str(), at.error().message().c_str());
        return 1;
    }
    try {
        cr::runtime runtime(options);
        const cr::result<void> served =
            runtime.block_on(accept_each<Stream>(*at, session, std::move(further)));
        if (!served && served.error() != cr::errc::cancelled) {
            std::fprintf(stderr, "%s: %s: %s\n", program, listen.c_str(), served.error().message().c_str());
            return 1;
        }
        print_counters(runtime.home().stats());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", program, error.what());
        return 1;
    }
}

} // namespace serving
