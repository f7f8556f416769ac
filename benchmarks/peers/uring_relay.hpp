// What the hand-written liburing contestants have in common: they send what they receive, on the same connection or on
// another.
//
// One enter per turn submits what the last turn decided, runs the deferred task work and waits. A direction has one
// receive armed and at most one send in flight; what arrives meanwhile queues in the buffers it came in, and goes out
// in one sendmsg.
#pragma once

#include "uring_ring.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>

namespace peers {

enum class receive_kind { multishot, oneshot };

// A direction may hold this many filled buffers; above it, nothing is received until the other side reads.
inline constexpr unsigned queue_limit = 16;

struct direction {
    int from;
    int to;
    bool receiving = false;
    bool cancelling = false; // the multishot receive, because the queue is full
    bool starved = false;    // waits for a buffer to come back
    bool sending = false;
    bool ended = false;  // nothing more will be received
    bool failed = false; // by an error
    unsigned queued = 0;
    int first = receive_buffers::none;
    int last = receive_buffers::none;

    struct gather {
        std::array<iovec, queue_limit> parts;
        msghdr header;
    };
    std::unique_ptr<gather> gathered{}; // only directions that ever queue have one
};

// What a completion is about: the address of a direction, or of something that only the server knows, with the
// operation in its low bits, or one of the others.
inline constexpr std::uint64_t nobody = 0;
inline constexpr std::uint64_t receive_tag = 1;
inline constexpr std::uint64_t send_tag = 2;
inline constexpr std::uint64_t server_tag = 3;
inline constexpr std::uint64_t tag_mask = 3;
inline constexpr std::uint64_t accept_operation = 1 << 2;
inline constexpr std::uint64_t accept_pause = 2 << 2;
inline constexpr std::uint64_t termination = 3 << 2;

struct relay_counters {
    unsigned long long messages = 0;
    unsigned long long bytes = 0;
    unsigned long long enters = 0;
    unsigned long long sqes = 0;
    unsigned long long cqes = 0;

    relay_counters& operator+=(const relay_counters& more) {
        messages += more.messages;
        bytes += more.bytes;
        enters += more.enters;
        sqes += more.sqes;
        cqes += more.cqes;
        return *this;
    }
    void print() const {
        std::printf(
            "counters: messages=%llu bytes=%llu enters=%llu sqes=%llu cqes=%llu\n", messages, bytes, enters,
            sqes, cqes);
    }
};

class uring_relay {
  public:
    uring_relay(
        int listener, receive_kind kind, unsigned buffers, unsigned size,
        task_work runs = task_work::deferred)
        : listener_(listener)
        , kind_(kind)
        , ring_(runs)
        , buffers_(ring_, buffers, size) {
        arm_accept();
        io_uring_prep_poll_add(ring_.next(termination), termination_descriptor(), POLLIN);
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

    relay_counters counters() const {
        return {messages_, bytes_, ring_.enters(), ring_.submitted(), completions_};
    }

  protected:
    ~uring_relay() = default;

    submission_ring& ring() { return ring_; }

    void start(direction& one) { arm_receive(one); }

    void close_descriptor(int descriptor) {
        io_uring_sqe* entry = ring_.next(nobody);
        io_uring_prep_close(entry, descriptor);
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    }

  private:
    virtual void opened(int descriptor) = 0;
    // Nothing is under way in the direction, and nothing will be.
    virtual void finished(direction& one) = 0;
    virtual void completed(std::uint64_t, int) {} // an operation of the server's own

    static std::uint64_t tagged(const direction& one, std::uint64_t tag) {
        return reinterpret_cast<std::uintptr_t>(&one) | tag;
    }

    void dispatch(const io_uring_cqe& completion) {
        const auto owner = completion.user_data;
        auto* one = reinterpret_cast<direction*>(owner & ~tag_mask);
        if ((owner & tag_mask) == receive_tag)
            received(*one, completion);
        else if ((owner & tag_mask) == send_tag)
            sent(*one, completion.res);
        else if ((owner & tag_mask) == server_tag)
            completed(owner & ~tag_mask, completion.res);
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
        if (completion.res >= 0) opened(completion.res);
        if (completion.flags & IORING_CQE_F_MORE) return;
        if (completion.res >= 0) return arm_accept();

        // Out of descriptors or memory: the connection stays in the backlog, and asking again at once would
        // spin.
        static __kernel_timespec pause{.tv_sec = 0, .tv_nsec = 10'000'000};
        io_uring_prep_timeout(ring_.next(accept_pause), &pause, 0, 0);
    }

    void arm_receive(direction& one) {
        io_uring_sqe* entry = ring_.next(tagged(one, receive_tag));
        if (kind_ == receive_kind::multishot) {
            io_uring_prep_recv_multishot(entry, one.from, nullptr, 0, 0);
        } else {
            io_uring_prep_recv(entry, one.from, nullptr, buffers_.size(), 0);
            // After an echo there is nothing to read yet: do not try first.
            entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
        }
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = 0;
        one.receiving = true;
    }

    void received(direction& one, const io_uring_cqe& completion) {
        if (!(completion.flags & IORING_CQE_F_MORE)) one.receiving = one.cancelling = false;

        if (completion.res > 0) {
            ++messages_;
            bytes_ += completion.res;
            queue(one, buffers_.take(completion));
        } else if (completion.res == -ENOBUFS) {
            one.starved = true;
            starved_.push_back(&one);
        } else if (completion.res != -ECANCELED) {
            one.ended = true;
            if (completion.res < 0) one.failed = true;
        }
        advance(one);
    }

    void queue(direction& one, int buffer) {
        if (one.first == receive_buffers::none)
            one.first = buffer;
        else
            buffers_[one.last].next = buffer;
        one.last = buffer;
        ++one.queued;
        // A direction that failed still owes completions: what they bring is dropped.
        if (one.ended) drop_queue(one);
    }

    void release_first(direction& one) {
        const int buffer = one.first;
        one.first = buffers_[buffer].next;
        --one.queued;
        buffers_.release(buffer);
    }

    void drop_queue(direction& one) {
        while (one.first != receive_buffers::none) release_first(one);
    }

    // Starts whatever the direction's state asks for next.
    void advance(direction& one) {
        if (!one.sending && one.first != receive_buffers::none) send_queue(one);
        if (one.ended) {
            if (!one.receiving && !one.sending && !one.starved) finished(one);
        } else if (!one.receiving) {
            if (!one.starved && one.queued < queue_limit) arm_receive(one);
        } else if (one.queued >= queue_limit && kind_ == receive_kind::multishot && !one.cancelling) {
            one.cancelling = true;
            io_uring_prep_cancel64(ring_.next(nobody), tagged(one, receive_tag), 0);
        }
    }

    // WAITALL leaves the waiting for room to the kernel. A result may be short all the same; sent() copes.
    void send_queue(direction& one) {
        constexpr int flags = MSG_NOSIGNAL | MSG_WAITALL;
        io_uring_sqe* entry = ring_.next(tagged(one, send_tag));
        one.sending = true;
        if (one.first == one.last) {
            const auto& only = buffers_[one.first];
            io_uring_prep_send(
                entry, one.to, buffers_.data(one.first) + only.sent, only.length - only.sent, flags);
            return;
        }
        if (!one.gathered) one.gathered = std::make_unique<direction::gather>();
        std::size_t count = 0;
        for (int buffer = one.first; buffer != receive_buffers::none && count < queue_limit; ++count) {
            const auto& part = buffers_[buffer];
            one.gathered->parts[count] = {buffers_.data(buffer) + part.sent, part.length - part.sent};
            buffer = part.next;
        }
        one.gathered->header = {};
        one.gathered->header.msg_iov = one.gathered->parts.data();
        one.gathered->header.msg_iovlen = count;
        io_uring_prep_sendmsg(entry, one.to, &one.gathered->header, flags);
    }

    void sent(direction& one, int outcome) {
        one.sending = false;
        if (outcome <= 0) {
            one.ended = one.failed = true;
            drop_queue(one);
            // Ends the receive, whose last completion finishes the direction.
            if (one.receiving) shutdown(one.from, SHUT_RDWR);
        }
        for (unsigned rest = outcome > 0 ? outcome : 0; rest > 0;) {
            auto& part = buffers_[one.first];
            const unsigned taken = std::min(rest, part.length - part.sent);
            rest -= taken;
            part.sent += taken;
            if (part.sent == part.length) release_first(one);
        }
        advance(one);
    }

    // Oldest first, and no more of them than there are buffers, or most would only starve again.
    void feed_starved() {
        for (auto room = buffers_.available(); room > 0 && !starved_.empty(); --room) {
            direction& one = *starved_.front();
            starved_.pop_front();
            one.starved = false;
            advance(one);
        }
    }

    int listener_;
    receive_kind kind_;
    submission_ring ring_;
    receive_buffers buffers_;
    std::deque<direction*> starved_;
    bool stopping_ = false;
    unsigned long long messages_ = 0;
    unsigned long long bytes_ = 0;
    unsigned long long completions_ = 0;
};

} // namespace peers
