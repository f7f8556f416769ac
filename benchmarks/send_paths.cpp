// The ways to hand a batch of messages to the kernel, side by side: one gathered send, a linked chain of one
// send for each message, and a bundle of buffers out of a provided-buffer ring (Linux 6.10); and for comparison one
// send after another. What decides which of them the send queue uses for which kind of socket.
//
// Each cell is the CPU time of the sending thread for a message, in nanoseconds: median of rounds in which the
// ways take turns. The reader is another thread, so that its time does not count.
#include "command_line.hpp"
#include "peers/uring_ring.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr unsigned most_messages = 64; // of a batch

using batch = std::span<const iovec>;

// Submits a batch on a connected socket and returns when the kernel has taken all of it.
class send_path {
  public:
    virtual ~send_path() = default;
    virtual void send(int descriptor, batch messages) = 0;

  protected:
    // One CQE for the batch; its result.
    int wait() {
        ring_.enter(1);
        io_uring_cqe* completion = nullptr;
        while (io_uring_peek_cqe(ring_.get(), &completion) != 0) ring_.enter(1);
        const int outcome = completion->res;
        io_uring_cqe_seen(ring_.get(), completion);
        return peers::submission_ring::check(outcome, "send");
    }
    static void must_be_all(int sent, std::size_t size) {
        if (static_cast<std::size_t>(sent) != size) throw std::runtime_error("a send fell short");
    }
    static std::size_t size_of(batch messages) {
        std::size_t total = 0;
        for (const iovec& message : messages) total += message.iov_len;
        return total;
    }

    static constexpr int flags = MSG_WAITALL | MSG_NOSIGNAL;
    peers::submission_ring ring_;
};

class gathered final : public send_path {
  public:
    void send(int descriptor, batch messages) override {
        header_.msg_iov = const_cast<iovec*>(messages.data());
        header_.msg_iovlen = messages.size();
        io_uring_prep_sendmsg(ring_.next(1), descriptor, &header_, flags);
        must_be_all(wait(), size_of(messages));
    }

  private:
    msghdr header_{};
};

class chain final : public send_path {
  public:
    void send(int descriptor, batch messages) override {
        for (const iovec& message : messages) {
            io_uring_sqe* entry = ring_.next(1);
            io_uring_prep_send(entry, descriptor, message.iov_base, message.iov_len, flags);
            if (&message != &messages.back()) entry->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        }
        must_be_all(wait(), messages.back().iov_len);
    }
};

class one_by_one final : public send_path {
  public:
    void send(int descriptor, batch messages) override {
        for (const iovec& message : messages) {
            io_uring_prep_send(ring_.next(1), descriptor, message.iov_base, message.iov_len, flags);
            must_be_all(wait(), message.iov_len);
        }
    }
};

class bundle final : public send_path {
  public:
    bundle() {
        int returned = 0;
        provided_ = io_uring_setup_buf_ring(ring_.get(), most_messages, 0, 0, &returned);
        peers::submission_ring::check(returned, "io_uring_setup_buf_ring");
    }
    ~bundle() override { io_uring_free_buf_ring(ring_.get(), provided_, most_messages, 0); }

    void send(int descriptor, batch messages) override {
        int place = 0;
        for (const iovec& message : messages)
            io_uring_buf_ring_add(
                provided_, message.iov_base, static_cast<unsigned>(message.iov_len), 0,
                io_uring_buf_ring_mask(most_messages), place++);
        io_uring_buf_ring_advance(provided_, place);
        io_uring_sqe* entry = ring_.next(1);
        io_uring_prep_send_bundle(entry, descriptor, 0, flags);
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = 0;
        must_be_all(wait(), size_of(messages));
    }

  private:
    io_uring_buf_ring* provided_ = nullptr;
};

struct socket_pair {
    int near = -1;
    int far = -1;
};

socket_pair tcp_pair() {
    const int listener = peers::checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    peers::checked(::bind(listener, address, length), "bind");
    peers::checked(::listen(listener, 1), "listen");
    peers::checked(::getsockname(listener, address, &length), "getsockname");
    socket_pair made;
    made.near = peers::checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    peers::checked(::connect(made.near, address, length), "connect");
    made.far = peers::checked(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
    const int on = 1;
    peers::checked(::setsockopt(made.near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    ::close(listener);
    return made;
}

// Nobody reads at the far end, and what has no room there is dropped: a sender does not notice.
socket_pair udp_pair() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    socket_pair made;
    made.far = peers::checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    peers::checked(::bind(made.far, address, length), "bind");
    peers::checked(::getsockname(made.far, address, &length), "getsockname");
    made.near = peers::checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    peers::checked(::connect(made.near, address, length), "connect");
    return made;
}

socket_pair unix_pair(int type) {
    int ends[2];
    peers::checked(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "socketpair");
    return {ends[0], ends[1]};
}

double thread_nanoseconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Reads and forgets, until the end, which is an empty message.
std::thread reader_of(int descriptor) {
    return std::thread([descriptor] {
        std::vector<char> room(1 << 16);
        while (::read(descriptor, room.data(), room.size()) > 0) {
        }
        ::close(descriptor);
    });
}

double
round_of(send_path& path, const socket_pair& connected, unsigned messages, std::size_t size, unsigned total) {
    static std::vector<char> payload(std::size_t{most_messages} << 16, 'x');
    std::array<iovec, most_messages> parts{};
    for (unsigned at = 0; at < messages; ++at) parts[at] = {payload.data() + at * size, size};
    const double begun = thread_nanoseconds();
    for (unsigned sent = 0; sent < total; sent += messages)
        path.send(connected.near, std::span(parts).first(messages));
    return (thread_nanoseconds() - begun) / total;
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

struct named_path {
    const char* name;
    std::unique_ptr<send_path> path;
    bool keeps_boundaries;
};

std::vector<named_path> all_paths() {
    std::vector<named_path> made;
    made.push_back({"gathered", std::make_unique<gathered>(), false});
    made.push_back({"chain", std::make_unique<chain>(), true});
    made.push_back({"one by one", std::make_unique<one_by_one>(), true});
    try {
        made.push_back({"bundle", std::make_unique<bundle>(), false});
    } catch (const std::system_error& error) {
        std::fprintf(stderr, "no bundle: %s\n", error.what());
    }
    return made;
}

} // namespace

int main(int argc, char** argv) {
    unsigned rounds = 9;
    unsigned total = 20'000;
    command_line arguments("Gathered send, chain of sends, bundle of buffers and one send after another, in "
                           "CPU ns of the sender a message");
    arguments.option("--rounds", rounds, "rounds, in which the ways take turns").between(1, 1000);
    arguments.option("--messages", total, "messages of a round").between(64, 100'000'000);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    struct kind {
        const char* name;
        bool boundaries;
        bool is_read;
        socket_pair (*open)();
    };
    const kind kinds[] = {
        {"TCP", false, true, tcp_pair},
        {"unix stream", false, true, [] { return unix_pair(SOCK_STREAM); }},
        {"unix seqpacket", true, true, [] { return unix_pair(SOCK_SEQPACKET); }},
        {"unix datagram", true, true, [] { return unix_pair(SOCK_DGRAM); }},
        {"UDP", true, false, udp_pair},
    };
    try {
        std::vector<named_path> paths = all_paths();
        std::printf("%-36s", "");
        for (const named_path& each : paths) std::printf("%12s", each.name);
        std::printf("\n");
        for (const kind& socket_kind : kinds) {
            for (const std::size_t size : {std::size_t{64}, std::size_t{1024}, std::size_t{16384}}) {
                for (const unsigned messages : {1U, 4U, 16U, most_messages}) {
                    const socket_pair connected = socket_kind.open();
                    std::thread reader;
                    if (socket_kind.is_read) reader = reader_of(connected.far);
                    std::vector<std::vector<double>> figures(paths.size());
                    for (unsigned round = 0; round < rounds; ++round) {
                        for (std::size_t at = 0; at < paths.size(); ++at) {
                            if (socket_kind.boundaries && !paths[at].keeps_boundaries) continue;
                            figures[at].push_back(
                                round_of(*paths[at].path, connected, messages, size, total));
                        }
                    }
                    if (socket_kind.boundaries) ::send(connected.near, nullptr, 0, 0);
                    ::close(connected.near);
                    if (reader.joinable())
                        reader.join();
                    else
                        ::close(connected.far);
                    const std::string batch = std::to_string(messages) + " x " + std::to_string(size) + " B";
                    const std::string row = std::string(socket_kind.name) + ", " + batch;
                    std::printf("%-36s", row.c_str());
                    for (const auto& measured : figures) {
                        if (measured.empty())
                            std::printf("%12s", "-");
                        else
                            std::printf("%12.0f", median(measured));
                    }
                    std::printf("\n");
                    std::fflush(stdout);
                }
            }
        }
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "send_paths: %s\n", error.what());
        return 1;
    }
}
