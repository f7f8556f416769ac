// Many sleeping tasks, all of which wake up within one second, beside one echo connection: what a sleeper costs in
// memory, and what the wake-ups do to the connection's latency.
#include "command_line.hpp"
#include "latency_histogram.hpp"

#include <chainring/chainring.hpp>

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>

namespace cr = chainring;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

std::size_t resident_bytes() {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm").ignore(64, ' ') >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

cr::task<> sleeper(cr::time_point until, unsigned& woken) {
    const auto slept = co_await cr::sleep_until(until);
    if (slept) ++woken;
}

cr::task<> echo(cr::tcp_stream peer) {
    while (auto chunk = co_await peer.receive()) {
        if (chunk->empty()) break;
        const auto sent = co_await peer.send(std::move(*chunk));
        if (!sent) break;
    }
}

// Ping-pong on a thread of its own, until it is told to stop: what happens while `measuring` is recorded.
class pinger {
  public:
    explicit pinger(const cr::endpoint& server)
        : thread_([this, server](const std::stop_token& stop) { run(server, stop); }) {}

    std::atomic<bool> measuring = false;
    std::atomic<std::uint64_t> wrong = 0;
    latency_histogram latency; // after `join`

    // Ends with the reply that it waits for, so the executor must go on.
    void stop() { thread_.request_stop(); }
    void join() { thread_.join(); }

  private:
    void run(const cr::endpoint& server, const std::stop_token& stop) {
        const int descriptor = ::socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (::connect(descriptor, server.address(), server.length()) != 0) ++wrong;
        std::array<char, 64> message{};
        std::array<char, 64> reply{};
        while (!stop.stop_requested() && wrong == 0) {
            ++message[0];
            const bool counts = measuring;
            const auto begun = clock_type::now();
            if (::send(descriptor, message.data(), message.size(), MSG_NOSIGNAL) != 64 ||
                ::recv(descriptor, reply.data(), reply.size(), MSG_WAITALL) != 64 || reply != message)
                ++wrong;
            if (counts) latency.record(clock_type::now() - begun);
        }
        ::close(descriptor);
    }

    std::jthread thread_;
};

struct figures {
    double bytes_per_task = 0;
    double total_mib = 0;
    unsigned woken = 0;
    double woken_in = 0; // seconds
};

cr::task<int> measure(unsigned count, figures& told, std::optional<pinger>& client) {
    auto listener = cr::tcp_listener::bind({"127.0.0.1", 0});
    if (!listener) co_return 1;
    const auto at = listener->local();
    client.emplace(*at);
    auto peer = co_await listener->accept();
    if (!peer) {
        client->stop();
        co_return 1;
    }
    co_await cr::scope([&](cr::task_group& group) -> cr::task<> {
        group.spawn(echo(std::move(*peer)));
        const std::size_t before = resident_bytes();
        // Long enough for all of them to be armed before the first is due.
        const cr::time_point first = clock_type::now() + 5s + count * 1us;
        unsigned woken = 0;
        {
            cr::cancel_scope& here = co_await cr::this_scope{};
            cr::task_group sleepers(here);
            for (unsigned number = 0; number < count; ++number) {
                sleepers.spawn(sleeper(first + number * std::chrono::nanoseconds(1s) / count, woken));
                if (number % 256 == 0) co_await cr::yield();
            }
            (void)co_await cr::sleep_until(first - 1s);
            const std::size_t grown = resident_bytes() - before;
            told.bytes_per_task = static_cast<double>(grown) / count;
            told.total_mib = static_cast<double>(grown) / (1 << 20);
            (void)co_await cr::sleep_until(first);
            client->measuring = true;
            co_await sleepers.join();
            client->measuring = false;
            told.woken_in = std::chrono::duration<double>(clock_type::now() - first).count();
        }
        told.woken = woken;
        client->stop();
    });
    co_return 0;
}

} // namespace

int main(int argc, char** argv) {
    unsigned tasks = 1'000'000;
    command_line arguments(
        "sleepers: tasks that sleep and wake up within one second, beside an echo connection");
    arguments.option("--tasks", tasks, "how many sleep").between(1, 10'000'000);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    figures told;
    std::optional<pinger> client;
    const int status = cr::runtime{}.run(measure(tasks, told, client));
    if (client) client->join();
    if (status != 0) return status;
    std::printf("%-16s  asleep, MiB  bytes of one  awake after, s  p50, us  p99, us  p99.9, us\n", "");
    std::printf(
        "%-16s  %11.0f  %12.0f  %14.3f  %7.0f  %7.0f  %9.0f\n", (std::to_string(tasks) + " tasks").c_str(),
        told.total_mib, told.bytes_per_task, told.woken_in, client->latency.percentile(50),
        client->latency.percentile(99), client->latency.percentile(99.9));
    return told.woken == tasks && client->wrong == 0 ? 0 : 1;
}
