// The ways to receive from streams, side by side: a receive into memory of its own, a receive that picks a block of a ring,
// the same as multishot, as multishot with bundles of blocks (Linux 6.10), and with blocks that are used up piece by piece
// (Linux 6.12). What decides which of them the library uses, and for what.
//
// Each figure is CPU time of the receiving thread, as a ratio to multishot in the same round: median and range of rounds in
// which the ways take turns. The peer is another thread, on another core, whose time does not count. Blocks go back to the ring
// as soon as they were looked at.
#include "command_line.hpp"
#include "peers/uring_ring.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

enum class way { one_shot, picked, multishot, bundle, incremental };

struct named_way {
    const char* name;
    way how;
    unsigned block; // bytes
};
// The first one is what the others are compared with.
constexpr named_way ways[] = {
    {"multishot, 4 KiB", way::multishot, 4096},      {"multishot again", way::multishot, 4096}, // the noise
    {"one shot, own 64 KiB", way::one_shot, 65'536}, {"one shot, picked 4 KiB", way::picked, 4096},
    {"bundles of 4 KiB", way::bundle, 4096},         {"multishot, 16 KiB", way::multishot, 16'384},
    {"multishot, 64 KiB", way::multishot, 65'536},   {"incremental 64 KiB", way::incremental, 65'536},
};
constexpr std::size_t pool_size = std::size_t{1} << 20; // bytes in all, whatever the blocks are

// What a peer sends at a place of the stream.
char pattern(std::uint64_t at) {
    return static_cast<char>(at ^ (at >> 8) ^ (at >> 16));
}

struct connection {
    std::size_t number = 0;
    int descriptor = -1;
    std::uint64_t received = 0; // bytes
    bool armed = false;
    std::unique_ptr<char[]> memory; // of one_shot
};

class receiver {
  public:
    receiver(
        const named_way& in, const std::vector<int>& descriptors, bool checks, std::size_t pool = pool_size)
        : how_(in.how)
        , block_(in.block)
        , checks_(checks)
        , blocks_(static_cast<unsigned>(pool / in.block))
        , used_(blocks_) {
        for (const int descriptor : descriptors) {
            connections_.push_back({connections_.size(), descriptor, 0, false, nullptr});
            if (how_ == way::one_shot) connections_.back().memory = std::make_unique<char[]>(block_);
        }
        if (how_ == way::one_shot) return;
        int failure = 0;
        const unsigned flags = how_ == way::incremental ? IOU_PBUF_RING_INC : 0;
        provided_ = io_uring_setup_buf_ring(ring_.get(), blocks_, 0, flags, &failure);
        peers::submission_ring::check(failure, "io_uring_setup_buf_ring");
        memory_ = std::make_unique<char[]>(pool);
        order_.resize(blocks_);
        place_.resize(blocks_);
        for (unsigned block = 0; block < blocks_; ++block) give(block);
        publish();
    }

    // Nothing is in flight any more when the memory goes.
    ~receiver() {
        io_uring_sync_cancel_reg everything{};
        everything.fd = -1;
        everything.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
        everything.timeout = {.tv_sec = -1, .tv_nsec = -1};
        io_uring_register_sync_cancel(ring_.get(), &everything);
        io_uring_queue_exit(ring_.get());
    }
    receiver(const receiver&) = delete;
    receiver& operator=(const receiver&) = delete;

    // Until so many bytes have come; `heard(connection)` is called for each receive.
    template <class Heard> void run(std::uint64_t bytes, Heard&& heard) {
        const std::uint64_t until = total_ + bytes;
        while (total_ < until) {
            for (std::size_t at = 0; at < connections_.size(); ++at)
                if (!connections_[at].armed) arm(at);
            ring_.enter(1);
            io_uring_cqe* all[256];
            const unsigned count = io_uring_peek_batch_cqe(ring_.get(), all, 256);
            for (unsigned at = 0; at < count; ++at) {
                const io_uring_cqe& entry = *all[at];
                if (entry.user_data == sends) {
                    peers::submission_ring::check(entry.res, "send");
                    continue;
                }
                connection& from = connections_[entry.user_data];
                from.armed = (entry.flags & IORING_CQE_F_MORE) != 0;
                if (entry.res == -ENOBUFS) continue;
                if (peers::submission_ring::check(entry.res, "recv") == 0)
                    throw std::runtime_error("the peer has gone");
                ++receives_;
                take(from, entry);
                heard(from);
            }
            io_uring_cq_advance(ring_.get(), count);
            publish();
        }
    }
    void send(const connection& to, const char* bytes, std::size_t size) {
        io_uring_prep_send(ring_.next(sends), to.descriptor, bytes, size, MSG_NOSIGNAL | MSG_WAITALL);
    }

    std::uint64_t receives() const { return receives_; }
    std::uint64_t total() const { return total_; }

    // From now on blocks are kept.
    void keep() { keeps_ = true; }
    // Bytes of memory that what was kept occupies, and what idle connections do.
    std::size_t occupied() const {
        return how_ == way::one_shot ? connections_.size() * block_ : std::size_t{kept_} * block_;
    }

  private:
    static constexpr std::uint64_t sends = ~std::uint64_t{0} >> 1;

    void arm(std::size_t number) {
        connection& of = connections_[number];
        io_uring_sqe* const entry = ring_.next(number);
        switch (how_) {
        case way::one_shot: io_uring_prep_recv(entry, of.descriptor, of.memory.get(), block_, 0); break;
        case way::picked: io_uring_prep_recv(entry, of.descriptor, nullptr, 0, 0); break;
        default: io_uring_prep_recv_multishot(entry, of.descriptor, nullptr, 0, 0);
        }
        if (how_ == way::bundle) entry->ioprio |= IORING_RECVSEND_BUNDLE;
        if (how_ != way::one_shot) {
            entry->flags |= IOSQE_BUFFER_SELECT;
            entry->buf_group = 0;
        }
        of.armed = true;
    }

    void take(connection& from, const io_uring_cqe& entry) {
        auto left = static_cast<unsigned>(entry.res);
        total_ += left;
        if (how_ == way::one_shot) {
            look(from, from.memory.get(), left);
            return;
        }
        unsigned block = entry.flags >> IORING_CQE_BUFFER_SHIFT;
        if (how_ == way::incremental) {
            look(from, memory_.get() + std::size_t{block} * block_ + used_[block], left);
            used_[block] += left;
            if (keeps_ && used_[block] == left) ++kept_;
            if ((entry.flags & IORING_CQE_F_BUF_MORE) == 0) give(block);
            return;
        }
        // A bundle takes the blocks that follow in the ring.
        for (unsigned place = place_[block];; block = order_[++place % blocks_]) {
            const unsigned here = std::min(left, block_);
            look(from, memory_.get() + std::size_t{block} * block_, here);
            if (keeps_)
                ++kept_;
            else
                give(block);
            left -= here;
            if (left == 0) return;
        }
    }

    void look(connection& from, const char* bytes, unsigned size) {
        if (checks_)
            for (unsigned at = 0; at < size; ++at)
                if (bytes[at] != pattern(from.received + at)) throw std::runtime_error("wrong bytes");
        from.received += size;
    }

    void give(unsigned block) {
        used_[block] = 0;
        order_[(tail_ + added_) % blocks_] = block;
        place_[block] = (tail_ + added_) % blocks_;
        io_uring_buf_ring_add(
            provided_, memory_.get() + std::size_t{block} * block_, block_,
            static_cast<unsigned short>(block), io_uring_buf_ring_mask(blocks_), static_cast<int>(added_++));
    }
    void publish() {
        if (added_ == 0) return;
        io_uring_buf_ring_advance(provided_, static_cast<int>(added_));
        tail_ += std::exchange(added_, 0);
    }

    way how_;
    unsigned block_;
    bool checks_;
    bool keeps_ = false;
    unsigned kept_ = 0; // blocks
    std::uint64_t receives_ = 0;
    std::uint64_t total_ = 0;
    std::unique_ptr<char[]> memory_;
    std::vector<connection> connections_;
    unsigned blocks_;
    std::vector<unsigned> used_; // bytes, of incremental ones
    std::vector<unsigned> order_;
    std::vector<unsigned> place_;
    unsigned tail_ = 0;
    unsigned added_ = 0;
    peers::submission_ring ring_; // ends before the memory that the kernel writes to
    io_uring_buf_ring* provided_ = nullptr;
};

struct connected {
    std::vector<int> near;
    std::vector<int> far;

    explicit connected(unsigned count) {
        const int listener = peers::listen_on("127.0.0.1:0");
        sockaddr_in at{};
        socklen_t length = sizeof at;
        auto* const address = reinterpret_cast<sockaddr*>(&at);
        peers::checked(::getsockname(listener, address, &length), "getsockname");
        for (unsigned made = 0; made < count; ++made) {
            far.push_back(peers::checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
            peers::checked(::connect(far.back(), address, length), "connect");
            const int on = 1;
            peers::checked(::setsockopt(far.back(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
            near.push_back(peers::checked(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept"));
        }
        ::close(listener);
    }
    // Resets, so that no port is left waiting.
    ~connected() {
        const linger at_once{1, 0};
        for (const int each : near) ::setsockopt(each, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        for (const int each : near) ::close(each);
        for (const int each : far) ::close(each);
    }
    connected(const connected&) = delete;
    connected& operator=(const connected&) = delete;
    // Whoever sends or waits at the far end returns.
    void stop() const {
        for (const int each : far) ::shutdown(each, SHUT_RDWR);
    }
};

void pin_to(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set); // where it may not, it runs anywhere
}

double thread_nanoseconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// What a peer sends: whole streams of the pattern.
class source {
  public:
    explicit source(std::size_t connections)
        : sent_(connections) {}
    // False: the connection has ended.
    bool send(std::size_t number, int to, std::size_t size) {
        for (std::size_t at = 0; at < size; ++at) memory_[at] = pattern(sent_[number] + at);
        for (std::size_t done = 0; done < size;) {
            const ssize_t more = ::send(to, memory_.data() + done, size - done, MSG_NOSIGNAL);
            if (more <= 0) return false;
            done += static_cast<std::size_t>(more);
        }
        sent_[number] += size;
        return true;
    }

  private:
    std::vector<std::uint64_t> sent_;
    std::vector<char> memory_ = std::vector<char>(1 << 16);
};

// Sends the next message on each connection when the last one was answered.
void ask(const std::vector<int>& descriptors, std::size_t size) {
    source from(descriptors.size());
    const int poll = peers::checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (std::size_t at = 0; at < descriptors.size(); ++at) {
        epoll_event event{.events = EPOLLIN, .data = {.u64 = at}};
        peers::checked(::epoll_ctl(poll, EPOLL_CTL_ADD, descriptors[at], &event), "epoll_ctl");
        from.send(at, descriptors[at], size);
    }
    std::vector<char> reply(size);
    for (bool open = true; open;) {
        std::array<epoll_event, 64> events;
        const int count = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
        for (int at = 0; at < count; ++at) {
            const auto number = events[static_cast<std::size_t>(at)].data.u64;
            const int descriptor = descriptors[number];
            open = ::recv(descriptor, reply.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size) &&
                   from.send(number, descriptor, size);
            if (!open) break;
        }
    }
    ::close(poll);
}

// Sends all the time.
void pour(const std::vector<int>& descriptors, std::size_t size) {
    source from(descriptors.size());
    for (std::size_t at = 0; from.send(at, descriptors[at], size);) at = (at + 1) % descriptors.size();
}

struct shape {
    const char* name;
    unsigned connections;
    std::size_t size; // bytes of a message
    bool answered;
    unsigned messages; // of a round
};
constexpr shape shapes[] = {
    {"64 B, answered, 64 connections", 64, 64, true, 60'000},
    {"64 KiB after another, 1 connection", 1, 65'536, false, 3'000},
    {"64 KiB after another, 16 connections", 16, 65'536, false, 3'000},
};

struct figures {
    double nanoseconds; // a message
    double receives;    // a message
};

figures measure(const named_way& in, const shape& load, bool checks) {
    const connected pairs(load.connections);
    receiver into(in, pairs.near, checks);
    std::thread peer([&] {
        pin_to(1);
        if (load.answered)
            ask(pairs.far, load.size);
        else
            pour(pairs.far, load.size);
    });
    struct join_at_the_end {
        const connected& pairs;
        std::thread& peer;
        ~join_at_the_end() {
            pairs.stop();
            peer.join();
        }
    } const guard{pairs, peer};

    static const std::vector<char> reply(1 << 16, 'r');
    std::vector<std::uint64_t> answered(load.connections);
    const auto heard = [&](const connection& from) {
        if (!load.answered) return;
        std::uint64_t& done = answered[from.number];
        for (; done + load.size <= from.received; done += load.size) into.send(from, reply.data(), load.size);
    };
    into.run(load.size * load.messages / 8, heard);
    const std::uint64_t receives = into.receives();
    const std::uint64_t bytes = into.total();
    const double begun = thread_nanoseconds();
    into.run(load.size * load.messages, heard);
    const double spent = thread_nanoseconds() - begun;
    const double messages = static_cast<double>(into.total() - bytes) / static_cast<double>(load.size);
    return {spent / messages, static_cast<double>(into.receives() - receives) / messages};
}

// A message that nobody takes on each of 64 connections.
std::size_t memory_held(const named_way& in) {
    constexpr unsigned count = 64;
    const connected pairs(count);
    receiver into(in, pairs.near, false, std::size_t{count} * 65'536); // a block of any size for each
    into.keep();
    for (const int each : pairs.far) (void)!::send(each, std::string(64, 'x').data(), 64, MSG_NOSIGNAL);
    into.run(std::uint64_t{64} * count, [](const connection&) {});
    return into.occupied();
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

void compare(const shape& load, unsigned rounds, bool checks) {
    std::vector<std::vector<figures>> all(std::size(ways));
    for (unsigned round = 0; round < rounds; ++round)
        for (std::size_t at = 0; at < std::size(ways); ++at)
            all[at].push_back(measure(ways[at], load, checks));
    std::printf("%s\n  %-24s%14s%24s%14s\n", load.name, "", "CPU ns", "ratio (range)", "receives");
    for (std::size_t at = 0; at < std::size(ways); ++at) {
        std::vector<double> spent;
        std::vector<double> ratios;
        for (unsigned round = 0; round < rounds; ++round) {
            spent.push_back(all[at][round].nanoseconds);
            ratios.push_back(all[at][round].nanoseconds / all[0][round].nanoseconds);
        }
        const auto [least, most] = std::ranges::minmax(ratios);
        std::printf(
            "  %-24s%14.0f%8.3f (%.3f to %.3f)%14.2f\n", ways[at].name, median(spent), median(ratios), least,
            most, all[at].back().receives);
    }
    std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
    unsigned rounds = 9;
    bool checks = false;
    command_line arguments(
        "One-shot and multishot receives, bundles and incremental blocks, in CPU time a message");
    arguments.option("--rounds", rounds, "rounds, in which the ways take turns").between(1, 1000);
    arguments.flag("--check", checks, "look at each byte instead: are the ways correct?");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        pin_to(0);
        for (const shape& load : shapes) compare(load, rounds, checks);
        std::printf("memory that 64 messages of 64 B occupy, on 64 connections, until somebody takes them\n");
        for (const named_way& each : ways) std::printf("  %-24s%14zu bytes\n", each.name, memory_held(each));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "receive_paths: %s\n", error.what());
        return 1;
    }
}
