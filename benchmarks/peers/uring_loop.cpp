// The hand-written liburing echo server: what the kernel allows when nothing stands between the program and
// the ring. chainring is measured against it.
//
// One enter per turn submits what the last turn decided, runs the deferred task work and waits. A connection
// has one receive armed and at most one send in flight; what arrives meanwhile queues in the buffers it came
// in, and goes out in one sendmsg.
#include "command_line.hpp"
#include "listening.hpp"
#include "uring_ring.hpp"

#include <liburing.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>

namespace {

enum class receive_kind { multishot, oneshot };

// A connection may hold this many filled buffers; above it, it is not received from until its peer reads.
constexpr unsigned queue_limit = 16;

struct connection {
    int descriptor;
    bool receiving = false;
    bool cancelling = false; // the multishot receive, because the queue is full
    bool starved = false;    // waits for a buffer to come back
    bool sending = false;
    bool ended = false; // nothing more will be received
    unsigned queued = 0;
    int first = peers::receive_buffers::none;
    int last = peers::receive_buffers::none;

    struct gather {
        std::array<iovec, queue_limit> parts;
        msghdr header;
    };
    std::unique_ptr<gather> gathered{}; // only connections that ever queue have one
};

// What a completion is about: a connection's address with the operation in its low bits, or one of the
// others.
constexpr std::uint64_t nobody = 0;
constexpr std::uint64_t receive_tag = 1;
constexpr std::uint64_t send_tag = 2;
constexpr std::uint64_t tag_mask = 3;
constexpr std::uint64_t accept_operation = 1 << 2;
constexpr std::uint64_t accept_pause = 2 << 2;
constexpr std::uint64_t termination = 3 << 2;

class echo_server {
  public:
    echo_server(int listener, receive_kind kind, unsigned buffers)
        : listener_(listener)
        , kind_(kind)
        , buffers_(ring_, buffers) {
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

            buffers_.publish();
            feed_starved();
        }
    }

    void print_counters() const {
        std::printf(
            "counters: messages=%llu bytes=%llu enters=%llu sqes=%llu cqes=%llu\n", messages_, bytes_,
            ring_.enters(), ring_.submitted(), completions_);
    }

  private:
    static std::uint64_t tagged(const connection& peer, std::uint64_t tag) {
        return reinterpret_cast<std::uintptr_t>(&peer) | tag;
    }

    void dispatch(const io_uring_cqe& completion) {
        const auto owner = completion.user_data;
        auto* peer = reinterpret_cast<connection*>(owner & ~tag_mask);
        if ((owner & tag_mask) == receive_tag)
            received(*peer, completion);
        else if ((owner & tag_mask) == send_tag)
            sent(*peer, completion.res);
        else if (owner == accept_operation)
            accepted(completion);
        else if (owner == accept_pause)
            arm_accept();
        else if (owner == termination)
            stopping_ = true;
    }

    void arm_accept() {
        io_uring_prep_multishot_accept(
            ring_.next(accept_operation), listener_, nullptr, nullptr, SOCK_CLOEXEC);
    }

    void accepted(const io_uring_cqe& completion) {
        if (completion.res >= 0) arm_receive(*new connection(completion.res));
        if (completion.flags & IORING_CQE_F_MORE) return;
        if (completion.res >= 0) return arm_accept();

        // Out of descriptors or memory: the connection stays in the backlog, and asking again at once would
        // spin.
        static __kernel_timespec pause{.tv_sec = 0, .tv_nsec = 10'000'000};
        io_uring_prep_timeout(ring_.next(accept_pause), &pause, 0, 0);
    }

    void arm_receive(connection& peer) {
        io_uring_sqe* entry = ring_.next(tagged(peer, receive_tag));
        if (kind_ == receive_kind::multishot) {
            io_uring_prep_recv_multishot(entry, peer.descriptor, nullptr, 0, 0);
        } else {
            io_uring_prep_recv(entry, peer.descriptor, nullptr, peers::buffer_size, 0);
            // After an echo there is nothing to read yet: do not try first.
            entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
        }
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = 0;
        peer.receiving = true;
    }

    void received(connection& peer, const io_uring_cqe& completion) {
        if (!(completion.flags & IORING_CQE_F_MORE)) peer.receiving = peer.cancelling = false;

        if (completion.res > 0) {
            ++messages_;
            bytes_ += completion.res;
            queue(peer, buffers_.take(completion));
        } else if (completion.res == -ENOBUFS) {
            peer.starved = true;
            starved_.push_back(&peer);
        } else if (completion.res != -ECANCELED) {
            peer.ended = true;
        }
        advance(peer);
    }

    void queue(connection& peer, int buffer) {
        if (peer.first == peers::receive_buffers::none)
            peer.first = buffer;
        else
            buffers_[peer.last].next = buffer;
        peer.last = buffer;
        ++peer.queued;
        // A connection that failed still owes completions: what they bring is dropped.
        if (peer.ended) drop_queue(peer);
    }

    void release_first(connection& peer) {
        const int buffer = peer.first;
        peer.first = buffers_[buffer].next;
        --peer.queued;
        buffers_.release(buffer);
    }

    void drop_queue(connection& peer) {
        while (peer.first != peers::receive_buffers::none) release_first(peer);
    }

    // Starts whatever the connection's state asks for next.
    void advance(connection& peer) {
        if (!peer.sending && peer.first != peers::receive_buffers::none) send_queue(peer);
        if (peer.ended) {
            if (!peer.receiving && !peer.sending && !peer.starved) close(peer);
        } else if (!peer.receiving) {
            if (!peer.starved && peer.queued < queue_limit) arm_receive(peer);
        } else if (peer.queued >= queue_limit && kind_ == receive_kind::multishot && !peer.cancelling) {
            peer.cancelling = true;
            io_uring_prep_cancel64(ring_.next(nobody), tagged(peer, receive_tag), 0);
        }
    }

    // WAITALL leaves the waiting for room to the kernel. A result may be short all the same; sent() copes.
    void send_queue(connection& peer) {
        constexpr int flags = MSG_NOSIGNAL | MSG_WAITALL;
        io_uring_sqe* entry = ring_.next(tagged(peer, send_tag));
        peer.sending = true;
        if (peer.first == peer.last) {
            const auto& only = buffers_[peer.first];
            io_uring_prep_send(
                entry, peer.descriptor, buffers_.data(peer.first) + only.sent, only.length - only.sent,
                flags);
            return;
        }
        if (!peer.gathered) peer.gathered = std::make_unique<connection::gather>();
        std::size_t count = 0;
        for (int buffer = peer.first; buffer != peers::receive_buffers::none && count < queue_limit;
             ++count) {
            const auto& part = buffers_[buffer];
            peer.gathered->parts[count] = {buffers_.data(buffer) + part.sent, part.length - part.sent};
            buffer = part.next;
        }
        peer.gathered->header = {};
        peer.gathered->header.msg_iov = peer.gathered->parts.data();
        peer.gathered->header.msg_iovlen = count;
        io_uring_prep_sendmsg(entry, peer.descriptor, &peer.gathered->header, flags);
    }

    void sent(connection& peer, int outcome) {
        peer.sending = false;
        if (outcome <= 0) {
            peer.ended = true;
            drop_queue(peer);
            // Ends the receive, whose last completion closes the connection.
            if (peer.receiving) shutdown(peer.descriptor, SHUT_RDWR);
        }
        for (unsigned rest = outcome > 0 ? outcome : 0; rest > 0;) {
            auto& part = buffers_[peer.first];
            const unsigned taken = std::min(rest, part.length - part.sent);
            rest -= taken;
            part.sent += taken;
            if (part.sent == part.length) release_first(peer);
        }
        advance(peer);
    }

    // Oldest first, and no more of them than there are buffers, or most would only starve again.
    void feed_starved() {
        for (auto room = buffers_.available(); room > 0 && !starved_.empty(); --room) {
            connection& peer = *starved_.front();
            starved_.pop_front();
            peer.starved = false;
            advance(peer);
        }
    }

    void close(connection& peer) {
        io_uring_sqe* entry = ring_.next(nobody);
        io_uring_prep_close(entry, peer.descriptor);
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
        delete &peer;
    }

    int listener_;
    receive_kind kind_;
    peers::submission_ring ring_;
    peers::receive_buffers buffers_;
    std::deque<connection*> starved_;
    bool stopping_ = false;
    unsigned long long messages_ = 0;
    unsigned long long bytes_ = 0;
    unsigned long long completions_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    receive_kind kind = receive_kind::multishot;
    unsigned buffers = 1024;
    command_line arguments("uring_loop: the hand-written liburing echo server");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option(
        "--receive", kind, "multishot (the faster one) or oneshot",
        {{"multishot", receive_kind::multishot}, {"oneshot", receive_kind::oneshot}});
    arguments
        .option("--buffers", buffers, "receive buffers of 4 KiB shared by all connections; a power of two")
        .between(1, 32768);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        const int listener = peers::listen_on(listen);
        echo_server server(listener, kind, buffers);
        peers::announce(listener);
        server.run();
        server.print_counters();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "uring_loop: %s\n", failure.what());
        return 1;
    }
}
