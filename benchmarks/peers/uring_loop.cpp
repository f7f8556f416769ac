// The hand-written liburing echo server: what the kernel allows when nothing stands between the program and
// the ring. chainring is measured against it.
#include "command_line.hpp"
#include "uring_relay.hpp"

#include <cstdlib>
#include <thread>
#include <vector>

namespace {

class echo_server final : public peers::uring_relay {
  public:
    echo_server(
        int listener, peers::receive_kind kind, unsigned buffers, std::size_t size, peers::task_work runs)
        : uring_relay(listener, kind, buffers, static_cast<unsigned>(size), runs) {}

  private:
    void opened(int descriptor) override { start(*new peers::direction(descriptor, descriptor)); }
    void finished(peers::direction& connection) override {
        close_descriptor(connection.from);
        delete &connection;
    }
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t buffer = peers::buffer_size;
    auto kind = peers::receive_kind::multishot;
    auto runs = peers::task_work::deferred;
    unsigned buffers = 1024;
    unsigned threads = 1;
    command_line arguments("uring_loop: the hand-written liburing echo server");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--buffer", buffer, peers::buffer_option).between(1, peers::largest_buffer);
    arguments.option(
        "--receive", kind, "multishot (the faster one) or oneshot",
        {{"multishot", peers::receive_kind::multishot}, {"oneshot", peers::receive_kind::oneshot}});
    arguments.option(
        "--task-work", runs, "deferred (DEFER_TASKRUN, the faster one) or cooperative (COOP_TASKRUN)",
        {{"deferred", peers::task_work::deferred}, {"cooperative", peers::task_work::cooperative}});
    arguments
        .option("--buffers", buffers, "receive buffers that are shared by all connections; a power of two")
        .between(1, 32768);
    arguments.option("--threads", threads, "each has a ring and a listener of its own").between(1, 64);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        const auto port = threads > 1 ? peers::port_of::several : peers::port_of::one;
        const int listener = peers::listen_on(listen, port);
        echo_server server(listener, kind, buffers, buffer, runs);
        std::vector<peers::relay_counters> counted(threads);
        std::vector<std::jthread> others;
        for (unsigned number = 1; number < threads; ++number)
            others.emplace_back(
                [&, number, further = peers::listen_on(peers::local_address(listener), port)] {
                    try {
                        echo_server one(further, kind, buffers, buffer, runs);
                        one.run();
                        counted[number] = one.counters();
                    } catch (const std::exception& failure) {
                        std::fprintf(stderr, "uring_loop: %s\n", failure.what());
                        std::_Exit(1);
                    }
                });
        peers::announce(listener);
        server.run();
        others.clear();
        peers::relay_counters total = server.counters();
        for (const peers::relay_counters& each : counted) total += each;
        total.print();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "uring_loop: %s\n", failure.what());
        return 1;
    }
}
