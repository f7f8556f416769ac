// Many slow connections, each of which sends a small message at fixed times and waits for the answer, and perhaps a fast one
// beside them, which sends as much as the server takes. Tells how long the slow ones wait: p50_us of all, and as p99_us the
// worst p99 that one of them has.
//
// Messages have a prefix of four bytes that tells the size of the rest. An answer begins with the first 64 bytes.
#include "command_line.hpp"
#include "load.hpp"

#include <memory>

namespace {

using clients::clock_type;

constexpr std::size_t small = 64; // bytes, the prefix included

struct options {
    unsigned slow = 100;
    double interval_ms = 5;
    std::size_t fast = 0; // bytes of a message; 0: there is no fast one
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

class slow_connection final : public connection {
  public:
    slow_connection(int descriptor, unsigned number)
        : connection(descriptor)
        , pattern_(number) {}

    // Its time has come; if it still waits for the last answer, it sends when that is there.
    void due(clock_type::time_point when) {
        if (waits_) {
            ++overdue_;
            return;
        }
        due_ = when;
        std::string payload(small - 4, '\0');
        pattern_.fill(payload);
        sent_.replace(4, payload.size(), payload);
        clients::send_whole(descriptor_, sent_);
        waits_ = true;
        received_ = 0;
    }
    void readable(clients::window& measured) override {
        if (!waits_) throw clients::load_error("an answer that nobody waits for");
        received_ += receive(answer_.data() + received_, small - received_);
        if (received_ < small) return;
        if (answer_ != sent_) throw clients::load_error("a wrong answer");
        waits_ = false;
        const auto now = clock_type::now();
        measured.count(1, now - due_);
        if (measured.measuring()) waited_.record(now - due_);
        if (overdue_ != 0) {
            --overdue_;
            due(now);
        }
    }
    double p99() const { return waited_.percentile(99); }

  private:
    clients::pattern pattern_;
    std::string sent_ = message_of(small);
    std::string answer_ = std::string(small, '\0');
    std::size_t received_ = 0;
    unsigned overdue_ = 0;
    bool waits_ = false;
    clock_type::time_point due_;
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
    std::vector<std::unique_ptr<slow_connection>> slow;
    for (unsigned number = 0; number < wanted.slow; ++number) {
        const int descriptor = clients::connect_to(address);
        slow.push_back(std::make_unique<slow_connection>(descriptor, number));
        ready.add(descriptor, EPOLLIN, slow.back().get());
    }
    std::unique_ptr<fast_connection> fast;
    if (wanted.fast != 0) {
        const int descriptor = clients::connect_to(address);
        fast = std::make_unique<fast_connection>(descriptor, wanted.fast);
        ready.add(descriptor, EPOLLIN | EPOLLOUT | EPOLLET, fast.get());
    }

    // One after the other, at equal distances.
    const auto distance = std::chrono::duration_cast<clock_type::duration>(
        std::chrono::duration<double, std::milli>(wanted.interval_ms / wanted.slow));
    const auto begun = clock_type::now();
    auto next = begun;
    std::size_t turn = 0;
    while (measured.open()) {
        for (const auto now = clock_type::now(); next <= now; next += distance)
            slow[turn++ % slow.size()]->due(next);
        if (fast && fast->has_room()) fast->send_more();
        const bool at_once = fast && fast->has_room();
        ready.wait_until(at_once ? clock_type::now() : next, [&](connection& each, std::uint32_t events) {
            if ((events & EPOLLIN) != 0) each.readable(measured);
            if ((events & EPOLLOUT) != 0) each.writable();
        });
    }
    double worst_p99 = 0;
    for (const auto& each : slow) worst_p99 = std::max(worst_p99, each->p99());
    const double bytes = fast ? static_cast<double>(fast->total()) : 0;
    std::printf(
        "{\"messages\":%llu, \"seconds\":%.6f, \"messages_per_second\":%.1f, \"p50_us\":%.2f, "
        "\"p99_us\":%.2f, "
        "\"fast_megabytes_per_second\":%.1f, \"wrong\":0, \"errors\":0}\n",
        static_cast<unsigned long long>(measured.messages()), measured.elapsed(),
        static_cast<double>(measured.messages()) / measured.elapsed(), measured.percentile(50), worst_p99,
        bytes / 1e6 / clients::seconds_of(clock_type::now() - begun));
}

} // namespace

int main(int argc, char** argv) {
    std::string connect;
    options wanted;
    double seconds = 3;
    double warm_up = 1;
    bool json = false;
    command_line arguments("fairness_load: slow connections, and a fast one beside them");
    arguments.option("--connect", connect, "IPv4 address and port of the server");
    arguments.option("--slow", wanted.slow, "slow connections").between(1, 10000);
    arguments.option("--interval", wanted.interval_ms, "milliseconds between two messages of a slow one")
        .between(0.1, 10000);
    arguments.option("--fast", wanted.fast, "bytes of a message of the fast one; 0: there is none")
        .between(0, 1 << 20);
    arguments.option("--seconds", seconds, "length of the measured window").between(0.01, 3600);
    arguments.option("--warmup", warm_up, "seconds before it").between(0, 3600);
    arguments.flag("--json", json, "does nothing: the output is JSON always");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        clients::window measured(warm_up, seconds);
        load(connect, wanted, measured);
        return 0;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "fairness_load: %s\n", failure.what());
        return 1;
    }
}
