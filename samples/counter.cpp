// Counters that many clients share, spread over the executors: each name belongs to one of them, and needs no lock. Try it:
//
//     build/samples/counter --listen 127.0.0.1:7002 &
//     printf 'INCR apples\nINCR apples\nGET apples\n' | socat -t 1 - TCP:127.0.0.1:7002
//
// Any connection may be on any executor; a name of another one is counted by a call there.
#include "command_line.hpp"

#include <chainring/chainring.hpp>

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cr = chainring;

namespace {

constexpr std::size_t longest_line = 1024; // bytes, without the line's end

using counters = std::unordered_map<std::string, long>;
using shards = cr::per_executor<counters>;

// What a name's own executor answers.
std::string look_up(counters& own, std::string_view verb, const std::string& name) {
    if (verb == "INCR") return std::to_string(++own[name]) + '\n';
    const auto found = own.find(name);
    return std::to_string(found == own.end() ? 0 : found->second) + '\n';
}

cr::task<cr::result<std::string>> answer(shards& all, std::string line) {
    if (line.ends_with('\r')) line.pop_back();
    const auto space = line.find(' ');
    const std::string verb = line.substr(0, space);
    const std::string name = space == std::string::npos ? "" : line.substr(space + 1);
    if (name.empty() || (verb != "INCR" && verb != "GET"))
        co_return "error: expected INCR name or GET name\n";
    cr::runtime& whole = cr::this_runtime();
    cr::executor& owner = whole.at(static_cast<unsigned>(std::hash<std::string>{}(name) % whole.size()));
    if (&owner == &cr::this_executor()) co_return look_up(all.local(), verb, name);
    auto asking = cr::call_on(owner, [&] { return look_up(all.local(), verb, name); });
    co_return co_await std::move(asking);
}

cr::task<cr::result<void>> converse(cr::tcp_stream& client, shards& all) {
    std::string line;
    for (;;) {
        const cr::buffer chunk = co_await cr::try_(cr::until_shutdown(client.receive()));
        if (chunk.empty()) co_return cr::result<void>();
        for (const char each : chunk.text()) {
            if (each != '\n') {
                line += each;
                if (line.size() <= longest_line) continue;
                co_await cr::try_(client.write("error: a line has at most 1024 bytes; goodbye\n"));
                co_return cr::result<void>();
            }
            std::string reply = co_await cr::try_(answer(all, std::exchange(line, {})));
            co_await cr::try_(client.write(std::move(reply)));
        }
    }
}

// How a client ends is its own affair.
cr::task<> serve_client(cr::tcp_stream client, shards& all) {
    (void)co_await converse(client, all);
}

cr::task<cr::result<void>>
serve(const cr::shared_port<cr::tcp_stream>& port, shards& all, cr::latch& listening) {
    auto listener = co_await cr::try_(port.listen());
    co_await cr::try_(listening.arrive_and_wait());
    if (cr::this_executor().number() == 0) {
        std::printf("listening on %s\n", port.local().to_string().c_str());
        std::fflush(stdout);
    }
    auto connections = listener.connections();
    co_return co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<void>> {
        for (;;) {
            cr::tcp_stream client = co_await cr::try_(connections.next());
            sessions.spawn(serve_client(std::move(client), all));
        }
    });
}

cr::task<cr::result<void>> serve_on_each(cr::endpoint at) {
    const auto port = co_await cr::try_(cr::shared_port<cr::tcp_stream>::open(at));
    auto all = co_await cr::try_(shards::make([] { return counters(); }));
    cr::latch listening(cr::this_runtime().size());
    co_return co_await cr::for_each_executor([&] { return serve(port, all, listening); });
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:7002";
    unsigned threads = cr::usable_cores();
    command_line arguments("Counters on chainring: INCR name and GET name, a line each, on all cores");
    arguments.option("--listen", listen, "where to listen, as 127.0.0.1:7002 or [::1]:7002");
    arguments.option("--threads", threads, "executors, among which the names are divided").between(1, 1024);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    const auto at = cr::endpoint::parse(listen);
    if (!at) {
        std::fprintf(stderr, "counter: %s: %s\n", listen.c_str(), at.error().message().c_str());
        return 1;
    }
    try {
        const cr::result<void> served = cr::runtime({.threads = threads}).block_on(serve_on_each(*at));
        if (!served && served.error() != cr::errc::cancelled) {
            std::fprintf(stderr, "counter: %s: %s\n", listen.c_str(), served.error().message().c_str());
            return 1;
        }
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "counter: %s\n", error.what());
        return 1;
    }
}
