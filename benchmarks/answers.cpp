// Answers each message, whatever its size, with the first 60 bytes of its payload. Messages have a prefix of four bytes that
// tells their size; datagrams have none.
#include "command_line.hpp"
#include "serving.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

namespace cr = chainring;

namespace {

void compute(std::chrono::microseconds time) {
    if (time.count() == 0) return;
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

cr::task<> answer(cr::tcp_stream peer, std::chrono::microseconds work) {
    cr::framed link(peer, cr::length_prefixed<std::uint32_t>{.limit = 1 << 20});
    for (;;) {
        const auto message = co_await cr::until_shutdown(link.receive());
        if (!message || !*message) co_return;
        compute(work);
        const cr::byte_span payload = **message;
        const auto sent = co_await link.send(payload.first(std::min<std::size_t>(payload.size(), 60)));
        if (!sent) co_return;
    }
}

cr::task<> answer_datagrams(cr::endpoint at, std::chrono::microseconds work) {
    auto bound = cr::udp_socket::bind(at);
    if (!bound) throw std::system_error(bound.error(), "UDP");
    cr::udp_socket socket = std::move(*bound);
    for (;;) {
        const auto datagram = co_await cr::until_shutdown(socket.receive());
        if (!datagram) co_return;
        compute(work);
        const std::string_view text = datagram->text();
        (void)co_await socket.write_to(datagram->from(), text.substr(0, 60));
    }
}

// A thread of the application that has nothing to do with the executor, and all the time something to compute.
class busy_thread {
  public:
    busy_thread()
        : thread_([this] {
            volatile unsigned computed = 0;
            while (!stop_.load(std::memory_order_relaxed)) computed = computed + 1;
        }) {}
    ~busy_thread() {
        stop_ = true;
        thread_.join();
    }
    busy_thread(const busy_thread&) = delete;
    busy_thread& operator=(const busy_thread&) = delete;

  private:
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    unsigned work = 0;
    bool busy = false;
    cr::runtime_options options;
    command_line arguments("answers: a server on TCP and UDP that answers a message with its first 60 bytes");
    arguments.option("--listen", listen, "where to listen, as 127.0.0.1:7000");
    arguments.option(
        "--mode", options.executor.ring.mode, "when completions are processed",
        {{"throughput", cr::task_work_mode::throughput}, {"latency", cr::task_work_mode::latency}});
    arguments.option("--work", work, "microseconds that each answer computes").between(0, 1'000'000);
    arguments.flag("--busy", busy, "another thread computes all the time");
    if (const auto status = arguments.parse(argc, argv)) return *status;
    std::optional<busy_thread> beside;
    if (busy) beside.emplace();
    const auto session = [work](cr::tcp_stream peer) {
        return answer(std::move(peer), std::chrono::microseconds(work));
    };
    const auto datagrams = [work](cr::endpoint at) {
        return answer_datagrams(at, std::chrono::microseconds(work));
    };
    return serving::serve<cr::tcp_stream>("answers", listen, session, options, datagrams);
}
