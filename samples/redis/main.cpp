// A server that speaks the protocol of Redis (RESP2), for strings, lists and channels. Try it:
//
//     build/samples/redis --listen 127.0.0.1:6379 --threads 2 &
//     redis-cli set apples 3
//     redis-benchmark -t set,get,lpush -P 16
//
// One thread is one shard, as Redis is; with more of them each has its own part of the keys, and clients of all executors reach all
// parts. It keeps nothing on disk, and has one database. What a command is called and how it is routed says commands.cpp.
#include "../counters.hpp"
#include "command_line.hpp"
#include "server.hpp"
#include "standard_output.hpp"

#include <chainring/chainring.hpp>

#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>

namespace cr = chainring;
using namespace std::chrono_literals;

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:6379";
    std::string mode = "throughput";
    unsigned threads = 1;
    cr::gathering gather{.completions = 32, .at_most = 50us};
    redis::server_options options;
    command_line arguments("A server on chainring for clients of Redis, which keeps its keys in memory");
    arguments.option(
        "--listen", listen, "where to listen, as 127.0.0.1:6379, [::1]:6379, unix:/path or unix:@name");
    arguments.option("--threads", threads, "executors, among which the keys are divided").between(1, 1024);
    arguments.option("--mode", mode, "throughput: big batches; latency: completions at once")
        .one_of({"throughput", "latency"});
    arguments
        .option(
            "--subscriber-limit", options.sessions.subscriber_limit,
            "bytes that may wait for a subscriber who does not read: then it is disconnected")
        .between(4096, 1U << 30);
    arguments
        .option(
            "--gather", gather.completions,
            "in mode throughput: completions that a sleep waits for, 50 us at most, while clients are busy; "
            "1: none")
        .between(1, 1024);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    const auto at = cr::endpoint::parse(listen);
    if (!at) {
        std::fprintf(stderr, "redis: %s: %s\n", listen.c_str(), at.error().message().c_str());
        return 1;
    }
    options.listen = *at;
    options.listening = [](const cr::endpoint& local) {
        std::printf("listening on %s\n", local.to_string().c_str());
        std::fflush(stdout);
    };
    std::mutex adding;
    cr::statistics counters;
    options.ended = [&] {
        const std::lock_guard held(adding);
        add(counters, cr::this_executor().stats());
    };
    try {
        // A client that does not read holds nothing up for longer.
        cr::runtime_options of_runtime{.shutdown = {.soft = 1s, .hard = 5s}, .threads = threads};
        of_runtime.executor.ring.gather = gather;
        if (mode == "latency") of_runtime.executor.ring.mode = cr::task_work_mode::latency;
        const cr::result<void> served =
            cr::runtime(of_runtime).block_on(redis::serve_on_each(std::move(options)));
        if (!served && served.error() != cr::errc::cancelled) {
            std::fprintf(stderr, "redis: %s: %s\n", listen.c_str(), served.error().message().c_str());
            return 1;
        }
        print_counters(counters);
        return written_or_failed("redis", 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "redis: %s\n", error.what());
        return 1;
    }
}
