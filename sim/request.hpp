// An SQE that the simulated kernel has taken: a copy, and what belongs to it.
#pragma once

#include <chainring/sim/connection_socket.hpp>

#include <liburing.h>
#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace chainring::sim {

// What a zero-copy send still waits for when its result is known: the network's letting go of the memory.
struct notification {
    connection_socket::sent_bytes sent; // of nobody, if the network has let go already
    bool copied = false;
    std::string bytes; // as they were when they were sent
};

struct request {
    explicit request(const io_uring_sqe& submitted)
        : copy(std::make_unique<const io_uring_sqe>(submitted))
        , sqe(*copy) {}

    std::unique_ptr<const io_uring_sqe> copy; // not a member: an SQE ends in an array of no size
    const io_uring_sqe& sqe;
    // What the SQE points to is the program's again as soon as it is submitted (IORING_FEAT_SUBMIT_STABLE).
    std::vector<iovec> pieces; // of a send
    address to;                // of a connect, and of a datagram to somebody else than the peer
    msghdr header{};           // of a receive of a message

    std::shared_ptr<file> target; // from its first attempt on, whatever becomes of the descriptor
    std::size_t done = 0;         // bytes, of a send
    bool due = false;             // to be attempted, ready or not
    // Its turn has come, or its end, and task work will see to it: no cancel finds it.
    enum class task_work : unsigned char { none, begins, is_cancelled, ends_with_chain };
    task_work queued = task_work::none;
    std::uint64_t seen_wakes = 0;              // of a poll, and of a send that waits
    bool connected = false;                    // of a connect: and not told so yet
    std::deque<std::unique_ptr<request>> next; // the rest of its chain

    std::unique_ptr<notification> notifies; // instead of being attempted

    bool goes_on() const noexcept { return (sqe.flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)) != 0; }
    // The chain goes on behind its failure too.
    bool is_hard() const noexcept { return (sqe.flags & IOSQE_IO_HARDLINK) != 0; }
    bool skips_success() const noexcept { return (sqe.flags & IOSQE_CQE_SKIP_SUCCESS) != 0; }
    std::size_t size() const noexcept {
        std::size_t bytes = 0;
        for (const iovec& each : pieces) bytes += each.iov_len;
        return bytes;
    }
};

// Takes over what the SQE points to, and refuses by name what the simulation lacks: returns its text, or "".
std::string prepare(request& taken);

// An operation's name and what it works on, for people.
std::string to_string(const request& shown);

} // namespace chainring::sim
