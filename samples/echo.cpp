// A TCP (or unix) echo server. Try it:  build/samples/echo --listen 127.0.0.1:7000
#include "counters.hpp"
#include "echo_server.hpp"
#include "standard_output.hpp"

#include <sched.h>

#include <mutex>

namespace cr = chainring;

namespace {

// Of this thread, and of those that it makes: one that is woken does not push aside who runs on its core, such as the client that is
// about to send more. So there is more to do when its turn comes, where executors share their cores with others.
void let_others_finish() {
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_BATCH, &none); // where that is forbidden it stays as it was
}

} // namespace

int main(int argc, char** argv) {
    unsigned threads = 1;
    const auto options = parse_echo_options(
        "echo", "A TCP or unix echo server on chainring", argc, argv, [&threads](auto& arguments) {
            arguments.option("--threads", threads, "executors, each with a thread and a listener of its own")
                .between(1, 1024);
        });
    if (!options) return options.error();
    if (threads > 1 && options->executor.ring.mode == cr::task_work_mode::throughput) let_others_finish();
    try {
        cr::runtime runtime({.executor = options->executor, .threads = threads});
        cr::result<void> served;
        cr::statistics counters;
        if (threads == 1) {
            served = runtime.block_on(serve_any(options->listen));
            counters = runtime.home().stats();
        } else {
            std::mutex adding;
            served = runtime.block_on(serve_any_on_each(options->listen, [&](const cr::statistics& more) {
                const std::lock_guard held(adding);
                add(counters, more);
            }));
        }
        if (!served && served.error() != cr::errc::cancelled) {
            std::fprintf(
                stderr, "echo: %s: %s\n", options->listen.to_string().c_str(),
                served.error().message().c_str());
            return 1;
        }
        print_counters(counters);
        return written_or_failed("echo", 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "echo: %s\n", error.what());
        return 1;
    }
}
