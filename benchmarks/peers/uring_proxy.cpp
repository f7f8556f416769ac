// The hand-written liburing proxy: the echo server's loop, with two connections for each that it accepts.
#include "command_line.hpp"
#include "uring_relay.hpp"

namespace {

struct session;

struct half : peers::direction {
    session* owner;
};

struct session {
    half up;
    half down;
    unsigned running = 0; // halves
};

class proxy final : public peers::uring_relay {
  public:
    proxy(int listener, const sockaddr_in& upstream, unsigned buffers, unsigned size)
        : uring_relay(listener, peers::receive_kind::multishot, buffers, size)
        , upstream_(upstream) {}

  private:
    void opened(int client) override {
        const int server = peers::checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        const int on = 1;
        peers::checked(setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
        auto* opened = new session{.up = {{client, server}, nullptr}, .down = {{server, client}, nullptr}};
        opened->up.owner = opened->down.owner = opened;
        const auto owner = reinterpret_cast<std::uintptr_t>(opened) | peers::server_tag;
        io_uring_prep_connect(
            ring().next(owner), server, reinterpret_cast<sockaddr*>(&upstream_), sizeof upstream_);
    }

    void completed(std::uint64_t owner, int outcome) override {
        auto& connected = *reinterpret_cast<session*>(owner);
        if (outcome < 0) return close(connected);
        connected.running = 2;
        start(connected.up);
        start(connected.down);
    }

    // The end of a stream is passed on, and the other half may go on; an error ends both.
    void finished(peers::direction& one) override {
        session& owner = *static_cast<half&>(one).owner;
        shutdown(one.to, one.failed ? SHUT_RDWR : SHUT_WR);
        if (--owner.running == 0) close(owner);
    }

    void close(session& over) {
        close_descriptor(over.up.from);
        close_descriptor(over.up.to);
        delete &over;
    }

    sockaddr_in upstream_;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::string connect = "127.0.0.1:7000";
    unsigned buffers = 64;
    unsigned size = 65536;
    command_line arguments("uring_proxy: the hand-written liburing proxy");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--connect", connect, "the server behind it, IPv4 address and port");
    arguments.option("--buffers", buffers, "receive buffers shared by all streams; a power of two")
        .between(1, 32768);
    arguments.option("--size", size, "bytes of a buffer").between(1, 1 << 20);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        const int listener = peers::listen_on(listen);
        proxy relaying(listener, peers::parse_address(connect), buffers, size);
        peers::announce(listener);
        relaying.run();
        relaying.counters().print();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "uring_proxy: %s\n", failure.what());
        return 1;
    }
}
