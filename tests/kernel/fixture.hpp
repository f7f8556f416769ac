// What the tests of kernel facts share: a ring, sockets that close themselves, and waits that fail instead of
// hanging. No chainring code: a failure here accuses the kernel, not the library.
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace kernel_test {

/// How long anything may take before a test calls it missing. Never reached on a kernel where the facts hold.
inline constexpr int patience_ms = 10'000;

class deadline {
  public:
    void check(const char* what) const {
        if (std::chrono::steady_clock::now() > end_) FAIL("waited too long for " << what);
    }

  private:
    std::chrono::steady_clock::time_point end_ =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
};

class descriptor {
  public:
    descriptor() = default;
    explicit descriptor(int number)
        : number_(number) {
        REQUIRE(number >= 0);
    }
    descriptor(descriptor&& other) noexcept
        : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor() { close(); }

    int get() const { return number_; }
    void close() {
        if (number_ >= 0) ::close(std::exchange(number_, -1));
    }

  private:
    int number_ = -1;
};

struct completion {
    std::uint64_t user_data;
    int result;
    unsigned flags;

    bool more() const { return (flags & IORING_CQE_F_MORE) != 0; }
    bool has_buffer() const { return (flags & IORING_CQE_F_BUFFER) != 0; }
    unsigned buffer() const { return flags >> IORING_CQE_BUFFER_SHIFT; }

    friend bool operator==(const completion&, const completion&) = default;
    friend std::ostream& operator<<(std::ostream& out, const completion& c) {
        return out << "{user_data " << c.user_data << ", result " << c.result << ", flags " << c.flags << '}';
    }
};

class ring {
  public:
    /// Completions are processed when the owner waits: what the throughput mode uses.
    static constexpr unsigned deferred =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;
    /// Completions are processed at any system call: what the latency mode uses.
    static constexpr unsigned cooperative =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL;

    explicit ring(unsigned flags = deferred, unsigned entries = 128, unsigned completion_entries = 0) {
        io_uring_params parameters{};
        parameters.flags = flags | (completion_entries != 0 ? IORING_SETUP_CQSIZE : 0U);
        parameters.cq_entries = completion_entries;
        const int error = io_uring_queue_init_params(entries, &ring_, &parameters);
        if (error == -EINVAL) SKIP("this kernel lacks one of the setup flags " << flags);
        if (error == -EPERM || error == -ENOSYS || error == -ENOMEM)
            SKIP("io_uring is not available here: " << std::strerror(-error));
        REQUIRE(error == 0);
    }
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;
    ~ring() {
        // Closing a ring waits for nothing; what is in flight must not outlive the buffers of its test.
        io_uring_sync_cancel_reg everything{};
        everything.fd = -1;
        everything.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
        everything.timeout = {.tv_sec = 1, .tv_nsec = 0};
        io_uring_register_sync_cancel(&ring_, &everything);
        io_uring_queue_exit(&ring_);
    }

    io_uring* get() { return &ring_; }

    /// A fresh SQE that the caller prepares; prep functions leave user_data alone.
    io_uring_sqe* sqe(std::uint64_t user_data) {
        io_uring_sqe* entry = io_uring_get_sqe(&ring_);
        REQUIRE(entry != nullptr);
        io_uring_prep_nop(entry);
        io_uring_sqe_set_data64(entry, user_data);
        return entry;
    }

    void submit() {
        const auto pushed = static_cast<int>(io_uring_sq_ready(&ring_));
        REQUIRE(io_uring_submit(&ring_) == pushed);
    }

    completion wait() {
        __kernel_timespec limit{.tv_sec = patience_ms / 1000, .tv_nsec = 0};
        io_uring_cqe* cqe = nullptr;
        int error = -EINTR;
        while (error == -EINTR) error = io_uring_wait_cqe_timeout(&ring_, &cqe, &limit);
        if (error == -ETIME) FAIL("waited too long for a completion");
        REQUIRE(error == 0);
        return take(cqe);
    }

    std::vector<completion> wait(std::size_t count) {
        std::vector<completion> all;
        while (all.size() < count) all.push_back(wait());
        return all;
    }

    /// All that is complete by now, deferred work included; never waits. A pass that completes nothing ends
    /// it, so a chain that skips its successes may still be on its way: wait() for that.
    std::vector<completion> reap() {
        std::vector<completion> all;
        for (;;) {
            io_uring_get_events(&ring_);
            const auto before = all.size();
            io_uring_cqe* cqe = nullptr;
            while (io_uring_cq_ready(&ring_) != 0 && io_uring_peek_cqe(&ring_, &cqe) == 0) {
                all.push_back(take(cqe));
            }
            if (all.size() == before) return all;
        }
    }

    /// All completions up to that of a no-op submitted now, and what is complete right after it: the way to
    /// say "and nothing else".
    std::vector<completion> fence() {
        constexpr std::uint64_t tag = ~0ULL - 1;
        sqe(tag);
        submit();
        std::vector<completion> all;
        for (completion next = wait(); next.user_data != tag; next = wait()) all.push_back(next);
        for (const completion& late : reap()) all.push_back(late);
        return all;
    }

    void require_opcode(int opcode, const char* name) {
        const std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(
            io_uring_get_probe_ring(&ring_), &io_uring_free_probe);
        if (!probe || !io_uring_opcode_supported(probe.get(), opcode)) SKIP("this kernel has no " << name);
    }

    void require_feature(unsigned bit, const char* name) const {
        if ((ring_.features & bit) == 0) SKIP("this kernel has no " << name);
    }

  private:
    completion take(io_uring_cqe* cqe) {
        const completion taken{.user_data = cqe->user_data, .result = cqe->res, .flags = cqe->flags};
        io_uring_cqe_seen(&ring_, cqe);
        return taken;
    }

    io_uring ring_{};
};

/// The only completion with this user_data.
inline completion of(const std::vector<completion>& all, std::uint64_t user_data) {
    const auto matches = [&](const completion& c) { return c.user_data == user_data; };
    CAPTURE(user_data, all);
    REQUIRE(std::ranges::count_if(all, matches) == 1);
    return *std::ranges::find_if(all, matches);
}

/// Provided buffers of one size, all in the ring at first.
class buffer_ring {
  public:
    static constexpr unsigned short group = 7;

    buffer_ring(ring& owner, unsigned count, std::size_t size)
        : owner_(owner)
        , count_(count)
        , size_(size)
        , memory_(count * size) {
        int error = 0;
        buffers_ = io_uring_setup_buf_ring(owner.get(), count, group, 0, &error);
        if (buffers_ == nullptr) SKIP("this kernel has no buffer rings: " << std::strerror(-error));
        for (unsigned id = 0; id < count; ++id) give_back(id);
    }
    buffer_ring(const buffer_ring&) = delete;
    buffer_ring& operator=(const buffer_ring&) = delete;
    ~buffer_ring() { io_uring_free_buf_ring(owner_.get(), buffers_, count_, group); }

    char* data(unsigned id) { return memory_.data() + id * size_; }
    std::string text(const completion& c) {
        REQUIRE(c.has_buffer());
        return {data(c.buffer()), static_cast<std::size_t>(std::max(c.result, 0))};
    }
    void give_back(unsigned id) {
        io_uring_buf_ring_add(
            buffers_, data(id), static_cast<unsigned>(size_), static_cast<unsigned short>(id),
            io_uring_buf_ring_mask(count_), 0);
        io_uring_buf_ring_advance(buffers_, 1);
    }
    /// Buffers the kernel could still take, if it tells (6.8).
    std::optional<unsigned> available() {
        const int left = io_uring_buf_ring_available(owner_.get(), buffers_, group);
        if (left == -EINVAL) return std::nullopt;
        REQUIRE(left >= 0);
        return static_cast<unsigned>(left);
    }

    void select(io_uring_sqe* entry) const {
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = group;
    }

  private:
    ring& owner_;
    unsigned count_;
    std::size_t size_;
    std::vector<char> memory_;
    io_uring_buf_ring* buffers_ = nullptr;
};

struct socket_pair {
    descriptor near;
    descriptor far;
};

inline void limit_buffer(int socket, int option, int bytes) {
    if (bytes != 0) REQUIRE(setsockopt(socket, SOL_SOCKET, option, &bytes, sizeof bytes) == 0);
}

inline socket_pair unix_pair(int type = SOCK_STREAM, int send_buffer = 0) {
    int both[2];
    REQUIRE(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, both) == 0);
    limit_buffer(both[0], SO_SNDBUF, send_buffer);
    return {.near = descriptor(both[0]), .far = descriptor(both[1])};
}

struct ipv4_socket {
    descriptor socket;
    sockaddr_in address{};

    /// A bound loopback socket on a port of the kernel's choice.
    explicit ipv4_socket(int type)
        : socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        REQUIRE(bind(socket.get(), generic(), length) == 0);
        REQUIRE(getsockname(socket.get(), generic(), &length) == 0);
    }
    sockaddr* generic() { return reinterpret_cast<sockaddr*>(&address); }
    int get() const { return socket.get(); }
};

struct tcp_listener : ipv4_socket {
    explicit tcp_listener(int backlog = 16, int receive_buffer = 0)
        : ipv4_socket(SOCK_STREAM) {
        limit_buffer(get(), SO_RCVBUF, receive_buffer);
        REQUIRE(listen(get(), backlog) == 0);
    }
    descriptor client(int send_buffer = 0) {
        descriptor made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        limit_buffer(made.get(), SO_SNDBUF, send_buffer);
        REQUIRE(connect(made.get(), generic(), sizeof address) == 0);
        return made;
    }
};

/// `buffers` bounds what the two sockets hold between them; 0 leaves them as they are.
inline socket_pair tcp_pair(int buffers = 0) {
    tcp_listener listener(1, buffers);
    descriptor near = listener.client(buffers);
    return {
        .near = std::move(near), .far = descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC))};
}

inline short events_now(int fd, short wanted, int timeout_ms = 0) {
    pollfd one{.fd = fd, .events = wanted, .revents = 0};
    REQUIRE(poll(&one, 1, timeout_ms) >= 0);
    return one.revents;
}

inline void put(int fd, const std::string& bytes) {
    REQUIRE(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

/// One receive, for which the data may take its time: TCP on a loaded machine delivers late even on loopback.
inline std::string get(int fd, std::size_t room = 65'536) {
    if (events_now(fd, POLLIN, patience_ms) == 0) FAIL("waited too long for data");
    std::string bytes(room, '\0');
    const ssize_t got = recv(fd, bytes.data(), room, MSG_DONTWAIT);
    REQUIRE(got >= 0);
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
}

/// What is there now.
inline std::string get_now(int fd) {
    return events_now(fd, POLLIN) == 0 ? std::string() : get(fd);
}

/// Fills the way to the peer with records of dots until the socket would block.
inline std::size_t fill(int fd, std::size_t record = 1000) {
    const std::string dots(record, '.');
    std::size_t total = 0;
    for (;;) {
        const ssize_t sent = send(fd, dots.data(), dots.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) break;
        total += static_cast<std::size_t>(sent);
    }
    REQUIRE(errno == EAGAIN);
    return total;
}

/// Reads `fd` and lets the ring work until `bytes` have arrived and `count` operations are complete.
inline std::string get_while_driving(
    ring& driven, int fd, std::size_t bytes, std::size_t count, std::vector<completion>& completions) {
    const deadline limit;
    std::string all;
    while (all.size() < bytes || completions.size() < count) {
        limit.check("bytes behind back-pressure");
        if (events_now(fd, POLLIN, 1) != 0) {
            const std::string part = get(fd);
            if (part.empty()) break;
            all += part;
        }
        for (const completion& c : driven.reap()) completions.push_back(c);
    }
    return all;
}

/// Each run of equal bytes as one letter: "AAABB" is "AB".
inline std::string runs(std::string text) {
    text.erase(std::ranges::unique(text).begin(), text.end());
    return text;
}

template <class Function> auto on_a_fresh_thread(Function function) {
    std::packaged_task<std::invoke_result_t<Function>()> task(std::move(function));
    auto result = task.get_future();
    std::thread(std::move(task)).join();
    return result.get();
}

} // namespace kernel_test
