// The hand-written liburing proxy: a receive, a send of what it brought, the next receive, for each direction with
// a buffer of its own. One enter per turn carries the operations of all directions.
#include "command_line.hpp"
#include "listening.hpp"
#include "uring_ring.hpp"

#include <liburing.h>
#include <poll.h>

#include <memory>

namespace {

struct session;

struct direction {
    session* owner;
    int from;
    int to;
    std::unique_ptr<char[]> buffer;
    unsigned received = 0;
    unsigned sent = 0;
};

struct session {
    direction up;
    direction down;
    unsigned running = 0; // directions
};

// What a completion is about: a direction's or a session's address with the operation in its low bits, or one of
// the others.
constexpr std::uint64_t nobody = 0;
constexpr std::uint64_t receive_tag = 1;
constexpr std::uint64_t send_tag = 2;
constexpr std::uint64_t connect_tag = 3;
constexpr std::uint64_t tag_mask = 3;
constexpr std::uint64_t accept_operation = 1 << 2;
constexpr std::uint64_t termination = 2 << 2;

class proxy {
  public:
    proxy(int listener, const sockaddr_in& upstream, unsigned buffer_size)
        : listener_(listener)
        , upstream_(upstream)
        , buffer_size_(buffer_size) {
        arm_accept();
        io_uring_prep_poll_add(ring_.next(termination), peers::termination_descriptor(), POLLIN);
    }

    void run() {
        while (!stopping_) {
            ring_.enter(1);
            unsigned head;
            unsigned count = 0;
            io_uring_cqe* completion;
            io_uring_for_each_cqe(ring_.get(), head, completion) {
                ++count;
                dispatch(*completion);
            }
            io_uring_cq_advance(ring_.get(), count);
            completions_ += count;
        }
    }

    void print_counters() const {
        std::printf(
            "counters: messages=%llu bytes=%llu enters=%llu sqes=%llu cqes=%llu\n", messages_, bytes_,
            ring_.enters(), ring_.submitted(), completions_);
    }

  private:
    template <class Owner> static std::uint64_t tagged(const Owner& owner, std::uint64_t tag) {
        return reinterpret_cast<std::uintptr_t>(&owner) | tag;
    }

    void dispatch(const io_uring_cqe& completion) {
        const auto about = completion.user_data;
        void* const owner = reinterpret_cast<void*>(about & ~tag_mask);
        if ((about & tag_mask) == receive_tag)
            received(*static_cast<direction*>(owner), completion.res);
        else if ((about & tag_mask) == send_tag)
            sent(*static_cast<direction*>(owner), completion.res);
        else if ((about & tag_mask) == connect_tag)
            connected(*static_cast<session*>(owner), completion.res);
        else if (about == accept_operation)
            accepted(completion);
        else if (about == termination)
            stopping_ = true;
    }

    void arm_accept() {
        io_uring_prep_multishot_accept(
            ring_.next(accept_operation), listener_, nullptr, nullptr, SOCK_CLOEXEC);
    }

    void accepted(const io_uring_cqe& completion) {
        if (!(completion.flags & IORING_CQE_F_MORE)) arm_accept();
        if (completion.res < 0) return;
        const int client = completion.res;
        const int server = peers::checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        const int on = 1;
        peers::checked(setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
        auto* opened = new session{
            .up = {nullptr, client, server, std::make_unique_for_overwrite<char[]>(buffer_size_)},
            .down = {nullptr, server, client, std::make_unique_for_overwrite<char[]>(buffer_size_)}};
        opened->up.owner = opened->down.owner = opened;
        io_uring_prep_connect(
            ring_.next(tagged(*opened, connect_tag)), server, reinterpret_cast<sockaddr*>(&upstream_),
            sizeof upstream_);
    }

    void connected(session& opened, int outcome) {
        if (outcome < 0) return close(opened);
        opened.running = 2;
        receive(opened.up);
        receive(opened.down);
    }

    void receive(direction& one) {
        io_uring_prep_recv(ring_.next(tagged(one, receive_tag)), one.from, one.buffer.get(), buffer_size_, 0);
    }

    void received(direction& one, int outcome) {
        if (outcome <= 0) return end(one, outcome);
        one.received = static_cast<unsigned>(outcome);
        one.sent = 0;
        send(one);
    }

    // WAITALL leaves the waiting for room to the kernel. A result may be short all the same; sent() copes.
    void send(direction& one) {
        io_uring_prep_send(
            ring_.next(tagged(one, send_tag)), one.to, one.buffer.get() + one.sent, one.received - one.sent,
            MSG_NOSIGNAL | MSG_WAITALL);
    }

    void sent(direction& one, int outcome) {
        if (outcome <= 0) return end(one, outcome < 0 ? outcome : -EPIPE);
        one.sent += static_cast<unsigned>(outcome);
        if (one.sent < one.received) return send(one);
        ++messages_;
        bytes_ += one.received;
        receive(one);
    }

    // The end of a stream is passed on, and the other direction may go on; an error ends both.
    void end(direction& one, int outcome) {
        shutdown(one.to, outcome == 0 ? SHUT_WR : SHUT_RDWR);
        if (outcome < 0) shutdown(one.from, SHUT_RDWR);
        if (--one.owner->running == 0) close(*one.owner);
    }

    void close(session& over) {
        for (const int descriptor : {over.up.from, over.up.to}) {
            io_uring_sqe* entry = ring_.next(nobody);
            io_uring_prep_close(entry, descriptor);
            entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
        }
        delete &over;
    }

    int listener_;
    sockaddr_in upstream_;
    unsigned buffer_size_;
    peers::submission_ring ring_;
    bool stopping_ = false;
    unsigned long long messages_ = 0;
    unsigned long long bytes_ = 0;
    unsigned long long completions_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::string connect = "127.0.0.1:7000";
    unsigned buffer_size = 65536;
    command_line arguments("uring_proxy: the hand-written liburing proxy");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--connect", connect, "the server behind it, IPv4 address and port");
    arguments.option("--buffer", buffer_size, "bytes that one receive may yield").between(1, 1 << 24);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        const int listener = peers::listen_on(listen);
        proxy relaying(listener, peers::parse_address(connect), buffer_size);
        peers::announce(listener);
        relaying.run();
        relaying.print_counters();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "uring_proxy: %s\n", failure.what());
        return 1;
    }
}
