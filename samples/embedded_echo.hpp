// What the samples that embed an executor in another loop have in common. Each serves within its loop until SIGINT or SIGTERM.
#pragma once

#include "counters.hpp"
#include "echo_server.hpp"
#include "standard_output.hpp"

#include <chainring/runtime/spawn.hpp>

// `run(executor, endpoint)` runs the loop, and returns how the server in it has ended.
template <class Run>
int embedded_echo(const char* name, const char* purpose, int argc, char** argv, const Run& run) {
    const auto options = parse_echo_options(name, purpose, argc, argv);
    if (!options) return options.error();
    try {
        chainring::executor home(options->executor);
        const chainring::stop_signals signals(home);
        const chainring::ended_task<chainring::result<void>> ended = run(home, options->listen);
        if (!ended) std::rethrow_exception(ended.error());
        const chainring::result<void>& served = *ended;
        if (!served && served.error() != chainring::errc::cancelled) {
            std::fprintf(
                stderr, "%s: %s: %s\n", name, options->listen.to_string().c_str(),
                served.error().message().c_str());
            return 1;
        }
        print_counters(home.stats());
        return written_or_failed(name, 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return 1;
    }
}
