// What the load generators of one shape each have in common. They are plain epoll, blocking or liburing code and
// know no contestant, so that none is loaded by itself.
#pragma once

#include "command_line.hpp"
#include "latency_histogram.hpp"
#include "listening.hpp"

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace clients {

using clock_type = std::chrono::steady_clock;

// Ends the load: something is wrong that the user must be told.
struct load_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// How long what is under way may take to arrive at the end.
constexpr std::chrono::seconds patience{2};

inline double seconds_of(clock_type::duration span) {
    return std::chrono::duration<double>(span).count();
}

// The measured window of time after a warm-up, and what was counted in it.
class window {
  public:
    window(double warm_up, double seconds)
        : warm_up_(warm_up)
        , seconds_(seconds) {}

    // At most this many messages are counted, and the window closes early with the last of them.
    void limit(std::uint64_t messages) { most_ = messages; }

    // To be called at every turn; false when it is over. The window is announced on standard error, so that a
    // harness can read the server's CPU time at both ends.
    bool open() {
        const auto now = clock_type::now();
        const double passed = seconds_of(now - begun_);
        if (state_ == state::warming && passed >= warm_up_) {
            std::fprintf(stderr, "measuring\n");
            state_ = state::measuring;
            begun_ = now;
        } else if (state_ == state::measuring && (passed >= seconds_ || messages_ >= most_)) {
            std::fprintf(stderr, "measured\n");
            state_ = state::over;
            elapsed_ = passed;
            ended_ = now;
        }
        return state_ != state::over;
    }

    // Throws when the server owes something for too long after the end.
    void check_patience() const {
        if (state_ == state::over && clock_type::now() - ended_ > patience)
            throw load_error("no reply within two seconds of the end");
    }

    void count(std::uint64_t messages) {
        if (state_ == state::measuring) messages_ += messages;
    }
    void count(std::uint64_t messages, clock_type::duration latency) {
        count(messages);
        if (state_ == state::measuring) latency_.record(latency, messages);
    }

    // Something that a load counts besides, printed under this name.
    void tell(const char* name, double value) { more_.emplace_back(name, value); }

    bool measuring() const { return state_ == state::measuring; }
    double elapsed() const { return elapsed_; } // seconds, when it is over
    std::uint64_t messages() const { return messages_; }

    void print_json() const {
        const auto messages = static_cast<double>(messages_);
        std::printf(
            "{\"messages\":%llu, \"seconds\":%.6f, \"messages_per_second\":%.1f, ",
            static_cast<unsigned long long>(messages_), elapsed_, messages / elapsed_);
        if (latency_.percentile(50) > 0)
            std::printf(
                "\"p50_us\":%.2f, \"p90_us\":%.2f, \"p99_us\":%.2f, \"p999_us\":%.2f, ",
                latency_.percentile(50), latency_.percentile(90), latency_.percentile(99),
                latency_.percentile(99.9));
        for (const auto& [name, value] : more_) std::printf("\"%s\":%.2f, ", name, value);
        std::printf("\"wrong\":0, \"errors\":0}\n");
    }

  private:
    enum class state { warming, measuring, over };

    double warm_up_;
    double seconds_;
    std::uint64_t most_ = std::numeric_limits<std::uint64_t>::max();
    state state_ = state::warming;
    clock_type::time_point begun_ = clock_type::now();
    clock_type::time_point ended_;
    double elapsed_ = 0;
    std::uint64_t messages_ = 0;
    latency_histogram latency_;
    std::vector<std::pair<const char*, double>> more_;
};

// Bytes that differ from message to message, so that an old, lost or foreign one is seen.
class pattern {
  public:
    explicit pattern(std::uint64_t seed)
        : state_(seed * 0x9e3779b97f4a7c15 + 1) {}

    void fill(std::string& message) {
        for (std::size_t at = 0; at < message.size(); at += sizeof state_) {
            state_ ^= state_ << 13;
            state_ ^= state_ >> 7;
            state_ ^= state_ << 17;
            std::memcpy(message.data() + at, &state_, std::min(sizeof state_, message.size() - at));
        }
    }

  private:
    std::uint64_t state_;
};

inline int connect_to(const sockaddr* address, socklen_t length, int type, const char* what) {
    const int connected = peers::checked(socket(address->sa_family, type | SOCK_CLOEXEC, 0), "socket");
    peers::checked(connect(connected, address, length), what);
    return connected;
}
inline int connect_to(const sockaddr_in& server) {
    const int connected =
        connect_to(reinterpret_cast<const sockaddr*>(&server), sizeof server, SOCK_STREAM, "connect");
    const int on = 1;
    peers::checked(setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    return connected;
}

// For a message that the socket has room for, however slow the server is.
inline void send_whole(int descriptor, std::string_view message) {
    const auto sent = send(descriptor, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    peers::checked(static_cast<int>(sent), "send");
    if (static_cast<std::size_t>(sent) != message.size()) throw load_error("the server does not read");
}

// Calls back with what is ready, at the latest after a tenth of a second without any.
template <class Owner> class poller {
  public:
    void add(int descriptor, std::uint32_t interest, Owner* owner) {
        epoll_event event{.events = interest, .data = {.ptr = owner}};
        peers::checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
    }
    void remove(int descriptor) {
        peers::checked(epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr), "epoll_ctl");
    }

    template <class Visitor> void wait(Visitor&& visit) {
        take(
            epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 100),
            [&](Owner& owner, std::uint32_t) { visit(owner); });
    }
    // Until a point in time instead; tells what each is ready for.
    template <class Visitor> void wait_until(clock_type::time_point limit, Visitor&& visit) {
        const auto left = std::max(limit - clock_type::now(), clock_type::duration::zero());
        const timespec timeout{
            .tv_sec = left / std::chrono::seconds(1), .tv_nsec = (left % std::chrono::seconds(1)).count()};
        take(
            epoll_pwait2(epoll_, events_.data(), static_cast<int>(events_.size()), &timeout, nullptr), visit);
    }

  private:
    template <class Visitor> void take(int count, const Visitor& visit) {
        if (count < 0 && errno != EINTR) peers::checked(count, "epoll_wait");
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events_[static_cast<std::size_t>(i)];
            visit(*static_cast<Owner*>(event.data.ptr), event.events);
        }
    }

    int epoll_ = peers::checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    std::array<epoll_event, 256> events_;
};

// What every client is told.
struct common_options {
    std::string connect; // the server
    double seconds = 3;
    double warm_up = 1;
    bool json = false; // nobody reads it

    // `server`: how its address is written.
    void add_to(command_line& arguments, const char* server) {
        arguments.option("--connect", connect, server);
        arguments.option("--seconds", seconds, "length of the measured window").between(0.01, 3600);
        arguments.option("--warmup", warm_up, "seconds before it").between(0, 3600);
        arguments.flag("--json", json, "does nothing: the output is JSON always");
    }
};

// Runs a load and prints what was counted, or why it failed. The value is main's.
template <class Load> int report(const char* program, window& measured, Load&& load) {
    try {
        peers::raise_descriptor_limit();
        load();
        measured.print_json();
        return 0;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "%s: %s\n", program, failure.what());
        return 1;
    }
}

} // namespace clients
