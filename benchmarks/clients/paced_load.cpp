// Many connections that send a small message each at fixed times, whether the last one was answered or not, and perhaps a fast one
// beside them, which sends as much as the server takes, or datagrams, as many as there is time for. Tells how long answers take,
// from the moment at which the message should have been sent: a client or a server that falls behind makes nothing look faster.
// worst_p99_us is the worst p99 that one of the connections has.
//
// Messages have a prefix of four bytes that tells the size of the rest. An answer begins with the first 64 bytes.
#include "load.hpp"

#include <deque>
#include <memory>

namespace {

using clients::clock_type;

constexpr std::size_t small = 64; // bytes, the prefix included

struct options {
    unsigned connections = 64;
    unsigned rate = 20'000; // messages a second, of all together
    std::size_t fast = 0;   // bytes of a message; 0: there is no fast one
    bool datagrams = false; // of the fast one
};

std::string message_of(std::size_t size) {
    std::string message(size, '\0');
    const auto rest = static_cast<std::uint32_t>(size - 4);
    for (unsigned at = 0; at < 4; ++at) message[at] = static_cast<char>(rest >> (24 - 8 * at));
    return message;
}

class connection {
  public:
    explicit connection(int descriptor)
        : descriptor_(descriptor) {}
    virtual ~connection() = default;
    virtual void readable(clients::window& measured) = 0;
    virtual void writable() {}

  protected:
    // Bytes; 0: there is nothing.
    std::size_t receive(char* into, std::size_t room) {
        const ssize_t got = recv(descriptor_, into, room, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
        peers::checked(static_cast<int>(got), "receive");
        if (got == 0) throw clients::load_error("the server closed a connection");
        return static_cast<std::size_t>(got);
    }
    int descriptor_;
};

class paced_connection final : public connection {
  public:
    paced_connection(int descriptor, unsigned number)
        : connection(descriptor)
        , pattern_(number) {}

    void send(clock_type::time_point due) {
        std::string message = message_of(small);
        std::string payload(small - 4, '\0');
        pattern_.fill(payload);
        message.replace(4, payload.size(), payload);
        clients::send_whole(descriptor_, message);
        unanswered_.push_back({std::move(message), due});
    }
    void readable(clients::window& measured) override {
        received_ += receive(answers_.data() + received_, answers_.size() - received_);
        std::string_view rest(answers_.data(), received_);
        for (; rest.size() >= small; rest.remove_prefix(small)) take(rest.substr(0, small), measured);
        received_ = rest.size();
        std::memmove(answers_.data(), rest.data(), rest.size());
    }
    bool idle() const { return unanswered_.empty(); }
    double p99() const { return waited_.percentile(99); }

  private:
    struct request {
        std::string text;
        clock_type::time_point due;
    };

    void take(std::string_view answer, clients::window& measured) {
        if (unanswered_.empty()) throw clients::load_error("an answer that nobody waits for");
        if (answer != unanswered_.front().text) throw clients::load_error("a wrong answer");
        const auto waited = clock_type::now() - unanswered_.front().due;
        unanswered_.pop_front();
        measured.count(1, waited);
        if (measured.measuring()) waited_.record(waited);
    }

    clients::pattern pattern_;
    std::deque<request> unanswered_;
    std::string answers_ = std::string(64 * small, '\0');
    std::size_t received_ = 0; // bytes of an answer that is not whole yet
    latency_histogram waited_;
};

class fast_connection final : public connection {
  public:
    fast_connection(int descriptor, std::size_t size)
        : connection(descriptor)
        , message_(message_of(size)) {}

    bool has_room() const { return has_room_; }
    void writable() override { has_room_ = true; }
    // A piece at a time, so that the slow ones' times are kept.
    void send_more() {
        constexpr std::size_t piece = 16 * 1024;
        const ssize_t sent = send(
            descriptor_, message_.data() + place_, std::min(piece, message_.size() - place_),
            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            has_room_ = false;
            return;
        }
        peers::checked(static_cast<int>(sent), "send");
        place_ = (place_ + static_cast<std::size_t>(sent)) % message_.size();
        total_ += static_cast<std::uint64_t>(sent);
    }
    // All of it, for it is told of each arrival once.
    void readable(clients::window&) override {
        while (receive(answers_.data(), answers_.size()) != 0) {
        }
    }
    std::uint64_t total() const { return total_; }

  private:
    std::string message_;
    std::string answers_ = std::string(1 << 16, '\0');
    std::size_t place_ = 0;
    std::uint64_t total_ = 0;
    bool has_room_ = true;
};

void load(const std::string& server, const options& wanted, clients::window& measured) {
    const auto address = peers::parse_address(server);
    clients::poller<connection> ready;
    std::vector<std::unique_ptr<paced_connection>> paced;
    for (unsigned number = 0; number < wanted.connections; ++number) {
        const int descriptor = clients::connect_to(address);
        paced.push_back(std::make_unique<paced_connection>(descriptor, number));
        ready.add(descriptor, EPOLLIN, paced.back().get());
    }
    std::unique_ptr<fast_connection> fast;
    if (wanted.fast != 0) {
        const auto* const any = reinterpret_cast<const sockaddr*>(&address);
        const int descriptor = wanted.datagrams
                                   ? clients::connect_to(any, sizeof address, SOCK_DGRAM, "connect")
                                   : clients::connect_to(address);
        fast = std::make_unique<fast_connection>(descriptor, wanted.fast);
        ready.add(descriptor, EPOLLIN | EPOLLOUT | EPOLLET, fast.get());
    }
    const auto wait_until = [&](clock_type::time_point limit) {
        ready.wait_until(limit, [&](connection& each, std::uint32_t events) {
            if ((events & EPOLLIN) != 0) each.readable(measured);
            if ((events & EPOLLOUT) != 0) each.writable();
        });
    };

    // One after the other, at equal distances.
    const auto distance =
        std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(1.0 / wanted.rate));
    const auto begun = clock_type::now();
    auto next = begun;
    std::size_t turn = 0;
    while (measured.open()) {
        for (const auto now = clock_type::now(); next <= now; next += distance)
            paced[turn++ % paced.size()]->send(next);
        if (fast && fast->has_room()) fast->send_more();
        const bool at_once = fast && fast->has_room();
        wait_until(at_once ? clock_type::now() : next);
    }
    const double bytes = fast ? static_cast<double>(fast->total()) : 0;
    measured.tell("fast_megabytes_per_second", bytes / 1e6 / clients::seconds_of(clock_type::now() - begun));
    const auto answered = [](const auto& each) { return each->idle(); };
    while (!std::ranges::all_of(paced, answered)) {
        measured.check_patience();
        wait_until(clock_type::now() + std::chrono::milliseconds(100));
    }
    double worst_p99 = 0;
    for (const auto& each : paced) worst_p99 = std::max(worst_p99, each->p99());
    measured.tell("worst_p99_us", worst_p99);
}

} // namespace

int main(int argc, char** argv) {
    clients::common_options common;
    options wanted;
    command_line arguments("paced_load: messages at fixed times, and a fast connection beside them");
    common.add_to(arguments, "IPv4 address and port of the server");
    arguments.option("--connections", wanted.connections, "connections").between(1, 10000);
    arguments.option("--rate", wanted.rate, "messages a second, of all together").between(1, 10'000'000);
    arguments.option("--fast", wanted.fast, "bytes of a message of the fast one; 0: there is none")
        .between(0, 1 << 20);
    arguments.flag(
        "--datagrams", wanted.datagrams, "the fast one's messages are datagrams, of 16 KiB at most");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    clients::window measured(common.warm_up, common.seconds);
    return clients::report("paced_load", measured, [&] { load(common.connect, wanted, measured); });
}
