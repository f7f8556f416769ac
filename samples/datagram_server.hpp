// What the samples that listen for datagrams have in common.
#pragma once

#include <chainring/chainring.hpp>

#include <cstdio>
#include <exception>
#include <string>

inline void say_where(const chainring::endpoint& listening) {
    std::printf("listening on %s\n", listening.to_string().c_str());
    std::fflush(stdout);
}

// Runs `serve(endpoint)` until SIGINT or SIGTERM. main's exit status.
template <class Serve> int serve_datagrams(const char* name, const std::string& listen, Serve serve) {
    const auto at = chainring::endpoint::parse(listen);
    if (!at) {
        std::fprintf(stderr, "%s: %s: %s\n", name, listen.c_str(), at.error().message().c_str());
        return 1;
    }
    try {
        chainring::runtime runtime;
        const chainring::result<void> served = runtime.block_on(serve(*at));
        if (served || served.error() == chainring::errc::cancelled) return 0;
        std::fprintf(stderr, "%s: %s: %s\n", name, listen.c_str(), served.error().message().c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
    }
    return 1;
}
