#include <chainring/runtime/buffer_trials.hpp>
#include <chainring/runtime/owned_descriptor.hpp>
#include <chainring/runtime/provided_ring.hpp>

#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

namespace chainring {

namespace {

using std::chrono::milliseconds;
using enum trial_outcome;

// Longer than what is there already takes on a machine that is busy.
constexpr duration trial_patience = std::chrono::seconds(1);

struct socket_pair {
    owned_descriptor near;
    owned_descriptor far;
};

socket_pair unix_sockets(int type) noexcept {
    int ends[2] = {-1, -1};
    static_cast<void>(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends));
    return {owned_descriptor(ends[0]), owned_descriptor(ends[1])};
}

socket_pair tcp_sockets() noexcept {
    const owned_descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    const auto address = reinterpret_cast<sockaddr*>(&at);
    if (::bind(listener.get(), address, length) != 0 || ::listen(listener.get(), 1) != 0 ||
        ::getsockname(listener.get(), address, &length) != 0)
        return {};
    socket_pair made{{}, owned_descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    if (::connect(made.far.get(), address, length) != 0) return {};
    made.near = owned_descriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return made;
}

bool sent(const owned_descriptor& from, std::span<const std::byte> bytes, int flags = 0) noexcept {
    return ::send(from.get(), bytes.data(), bytes.size(), flags | MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
}

// All of it has arrived at the other end.
bool arrived(const owned_descriptor& sender) noexcept {
    for (int tries = 0; tries < 200; ++tries) {
        int on_the_way = 0;
        if (::ioctl(sender.get(), SIOCOUTQ, &on_the_way) != 0) return false;
        if (on_the_way == 0) return true;
        std::this_thread::sleep_for(milliseconds(1));
    }
    return false;
}

// No two of its parts are the same.
std::vector<std::byte> noise(std::size_t size) {
    std::vector<std::byte> all(size);
    std::uint32_t state = 1;
    for (std::byte& each : all) each = static_cast<std::byte>((state = state * 1'664'525 + 1) >> 24);
    return all;
}

// Of an operation that has ended.
struct trial_answer {
    int result = 0;
    unsigned flags = 0;

    std::uint16_t buffer() const noexcept {
        return static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    }
};

// A ring with buffers.
class trial_ring {
  public:
    static constexpr std::uint16_t group = 1;

    explicit trial_ring(kernel& behind)
        : behind_(behind)
        , buffers_(8)
        , ring_(
              behind, {.mode = task_work_mode::latency, .submission_entries = 8, .completion_entries = 32}) {
        ring_.enable();
    }

    unsigned features() noexcept { return ring_.native().features; }
    // False: the kernel has no such buffers.
    bool open_buffers(unsigned flags = 0) noexcept {
        return buffers_.open(behind_, ring_, group, flags) >= 0;
    }
    void give(std::span<std::byte> memory, std::uint16_t id) noexcept {
        buffers_.add(memory.data(), static_cast<std::uint32_t>(memory.size()), id, 0);
        buffers_.advance(1);
    }

    // The result of an operation that need not wait, and its flags. Of one that is told of in parts their sum. Nothing: it is
    // in flight still.
    std::optional<trial_answer> run(auto&& prepare) noexcept {
        io_uring_sqe* const sqe = ring_.next_sqe();
        prepare(*sqe);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = group;
        trial_answer whole;
        bool ended = false;
        for (int tries = 0; tries < 5 && !ended; ++tries) {
            ring_.enter(waiting::for_one, &trial_patience, counters_);
            const auto add = [&](const io_uring_cqe& part) {
                whole.flags = part.flags;
                if (part.res > 0 || whole.result == 0) whole.result += part.res;
                ended = (part.flags & IORING_CQE_F_MORE) == 0;
            };
            ring_.reap(add, counters_);
        }
        return ended ? std::optional(whole) : std::nullopt;
    }

  private:
    kernel& behind_;
    statistics counters_;
    provided_ring buffers_; // longer than the ring
    ring ring_;
};

// In memory that is given up for good if the kernel may still write to it.
template <class Trial> trial_outcome tried(kernel& behind, Trial trial) noexcept {
    try {
        auto used = std::make_unique<trial_ring>(behind);
        auto memory = std::make_unique<std::array<std::byte, 32'768>>();
        const std::optional<trial_outcome> outcome = trial(*used, std::span(*memory));
        if (outcome) return *outcome;
        static_cast<void>(used.release());
        static_cast<void>(memory.release());
        return wrong;
    } catch (const std::exception&) {
        return not_tried;
    }
}

// A bundle carries these, and nothing but these arrive, in order; as many of them as its result says.
std::optional<trial_outcome>
bundle_arrives(trial_ring& used, const socket_pair& sockets, std::span<std::byte> bytes, std::size_t pieces) {
    const std::size_t of_each = bytes.size() / pieces;
    for (std::size_t at = 0; at < pieces; ++at)
        used.give(bytes.subspan(at * of_each, of_each), static_cast<std::uint16_t>(at));
    const auto done = used.run([&](io_uring_sqe& sqe) {
        io_uring_prep_send_bundle(&sqe, sockets.near.get(), 0, MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
    });
    if (!done) return std::nullopt;
    if (done->result <= 0 || static_cast<std::size_t>(done->result) > bytes.size()) return wrong;
    std::vector<std::byte> got(bytes.size() + 1);
    std::size_t size = 0;
    for (ssize_t more = 0;
         (more = ::recv(sockets.far.get(), got.data() + size, got.size() - size, MSG_DONTWAIT)) > 0;)
        size += static_cast<std::size_t>(more);
    const auto moved = bytes.first(static_cast<std::size_t>(done->result));
    return std::ranges::equal(std::span(got).first(size), moved) ? right : wrong;
}

} // namespace

// One after another from the same ring, and one that finds no room for all.
trial_outcome try_send_bundle(kernel& behind) noexcept {
    return tried(behind, [](trial_ring& used, std::span<std::byte>) -> std::optional<trial_outcome> {
        if ((used.features() & IORING_FEAT_RECVSEND_BUNDLE) == 0 || !used.open_buffers()) return not_there;
        const socket_pair sockets = unix_sockets(SOCK_STREAM);
        if (!sockets.near) return not_tried;
        const int small = 4096;
        ::setsockopt(sockets.near.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        std::optional<trial_outcome> outcome = right;
        std::vector<std::byte> bytes = noise(32'768);
        const std::span all(bytes);
        const std::array<std::pair<std::size_t, std::size_t>, 3> sizes_and_pieces{
            {{1000, 5}, {300, 3}, {32'768, 8}}};
        for (const auto& [size, pieces] : sizes_and_pieces)
            if (outcome == right) outcome = bundle_arrives(used, sockets, all.first(size), pieces);
        return outcome;
    });
}

// A receive that ends within a buffer although there is more in the socket, as at urgent data, must not go on in the next buffer:
// nobody could tell that the first one has a hole.
trial_outcome try_receive_bundle(kernel& behind) noexcept {
    return tried(behind, [](trial_ring& used, std::span<std::byte> memory) -> std::optional<trial_outcome> {
        if ((used.features() & IORING_FEAT_RECVSEND_BUNDLE) == 0 || !used.open_buffers()) return not_there;
        constexpr std::size_t of_each = 64;
        constexpr std::size_t buffers = 8;
        for (std::size_t id = 0; id < buffers; ++id)
            used.give(memory.subspan(id * of_each, of_each), static_cast<std::uint16_t>(id));
        const socket_pair sockets = tcp_sockets();
        const std::vector<std::byte> bytes = noise(200);
        const std::span all(bytes);
        if (!sockets.near || !sent(sockets.far, all.first(100)) ||
            !sent(sockets.far, all.first(1), MSG_OOB) || !sent(sockets.far, all.subspan(100)) ||
            !arrived(sockets.far))
            return not_tried;
        std::size_t next = 0; // buffer
        for (std::size_t size = 0; size < all.size();) {
            const auto done = used.run([&](io_uring_sqe& sqe) {
                io_uring_prep_recv(&sqe, sockets.near.get(), nullptr, 0, 0);
                sqe.ioprio |= IORING_RECVSEND_BUNDLE;
            });
            if (!done) return std::nullopt;
            const std::size_t first = done->buffer() * of_each;
            const auto got = static_cast<std::size_t>(std::max(done->result, 0));
            if (got == 0 || got > all.size() - size || done->buffer() != next ||
                first + got > buffers * of_each ||
                !std::ranges::equal(memory.subspan(first, got), all.subspan(size, got)))
                return wrong;
            next += (got + of_each - 1) / of_each;
            size += got;
        }
        return right;
    });
}

// The second receive goes on in the buffer where the first one has ended.
trial_outcome try_incremental_stream(kernel& behind) noexcept {
    return tried(behind, [](trial_ring& used, std::span<std::byte> memory) -> std::optional<trial_outcome> {
        if (!used.open_buffers(IOU_PBUF_RING_INC)) return not_there;
        const socket_pair sockets = unix_sockets(SOCK_STREAM);
        if (!sockets.near) return not_tried;
        constexpr std::size_t of_each = 100;
        used.give(memory.first(of_each), 0);
        used.give(memory.subspan(of_each, of_each), 1);
        const std::vector<std::byte> bytes = noise(of_each);
        const std::span all(bytes);
        std::size_t at = 0;
        const std::array<std::size_t, 3> sizes{30, 45, 25};
        for (const std::size_t size : sizes) {
            if (!sent(sockets.far, all.subspan(at, size))) return not_tried;
            const auto done = used.run(
                [&](io_uring_sqe& sqe) { io_uring_prep_recv(&sqe, sockets.near.get(), nullptr, 0, 0); });
            if (!done) return std::nullopt;
            const bool more = (done->flags & IORING_CQE_F_BUF_MORE) != 0;
            if (done->result != static_cast<int>(size) || done->buffer() != 0 ||
                more != (at + size < of_each) ||
                !std::ranges::equal(memory.subspan(at, size), all.subspan(at, size)))
                return wrong;
            at += size;
        }
        return right;
    });
}

// A datagram that is cut off fills one buffer, and no part of the next, whatever size it had.
trial_outcome try_incremental_datagrams(kernel& behind) noexcept {
    return tried(behind, [](trial_ring& used, std::span<std::byte> memory) -> std::optional<trial_outcome> {
        if (!used.open_buffers(IOU_PBUF_RING_INC)) return not_there;
        const socket_pair sockets = unix_sockets(SOCK_DGRAM);
        if (!sockets.near) return not_tried;
        constexpr std::size_t of_each = 100;
        for (std::size_t id = 0; id < 3; ++id)
            used.give(memory.subspan(id * of_each, of_each), static_cast<std::uint16_t>(id));
        const std::vector<std::byte> bytes = noise(150);
        const std::span all(bytes);
        const std::array<std::size_t, 2> sizes{150, 60};
        for (std::size_t buffer = 0; buffer < sizes.size(); ++buffer) {
            const std::size_t size = sizes[buffer];
            if (!sent(sockets.far, all.first(size))) return not_tried;
            iovec none{};
            msghdr header{};
            header.msg_iov = &none;
            header.msg_iovlen = 1;
            const auto done = used.run([&](io_uring_sqe& sqe) {
                io_uring_prep_recvmsg(&sqe, sockets.near.get(), &header, MSG_TRUNC);
            });
            if (!done) return std::nullopt;
            const std::size_t there = std::min(size, of_each);
            if (done->result != static_cast<int>(size) || done->buffer() != buffer ||
                !std::ranges::equal(memory.subspan(buffer * of_each, there), all.first(there)))
                return wrong;
        }
        return right;
    });
}

std::string_view to_string(trial_outcome outcome) noexcept {
    switch (outcome) {
    case right: return "right";
    case wrong: return "wrong";
    case not_there: return "not there";
    case not_tried: return "not tried";
    }
    return "";
}

std::span<const buffer_trial> buffer_trials() noexcept {
    static constexpr std::string_view unused = "nothing uses it";
    static constexpr buffer_trial all[] = {
        {"send_bundle", "what arrives is not what was sent, or not as much as it says",
         "send_path::bundled is refused unless it is right", try_send_bundle},
        {"receive_bundle", "a buffer that is not full is followed by another", unused, try_receive_bundle},
        {"incremental_stream", "a receive does not go on where the one before ended", unused,
         try_incremental_stream},
        {"incremental_datagrams", "one that is cut off takes away from the next buffer", unused,
         try_incremental_datagrams},
    };
    return all;
}

} // namespace chainring
