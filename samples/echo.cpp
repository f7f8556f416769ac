// A TCP (or unix) echo server. Try it:  build/samples/echo --listen 127.0.0.1:7000
#include "counters.hpp"
#include "echo_server.hpp"
#include "standard_output.hpp"

namespace cr = chainring;

int main(int argc, char** argv) {
    const auto options = parse_echo_options("echo", "A TCP or unix echo server on chainring", argc, argv);
    if (!options) return options.error();
    try {
        cr::runtime runtime({.executor = options->executor});
        const cr::result<void> served = runtime.block_on(serve_any(options->listen));
        if (!served && served.error() != cr::errc::cancelled) {
            std::fprintf(
                stderr, "echo: %s: %s\n", options->listen.to_string().c_str(),
                served.error().message().c_str());
            return 1;
        }
        print_counters(runtime.home().stats());
        return written_or_failed("echo", 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "echo: %s\n", error.what());
        return 1;
    }
}
