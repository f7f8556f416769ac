// Loads an echo server with short lives: connect, exchange one message, close, again and again. Some exchanges are
// under way at a time; they are taken in turn, the oldest first, so blocking calls do.
#include "command_line.hpp"
#include "load.hpp"

#include <unistd.h>

namespace {

class exchange {
  public:
    exchange(std::uint64_t seed, std::size_t size)
        : pattern_(seed)
        , message_(size, '\0')
        , reply_(size, '\0') {}

    bool under_way() const { return descriptor_ >= 0; }

    void begin(const sockaddr_in& server) {
        begun_ = clients::clock_type::now();
        descriptor_ = clients::connect_to(server);
        const timeval patience{.tv_sec = clients::patience.count(), .tv_usec = 0};
        peers::checked(
            setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), "SO_RCVTIMEO");
        pattern_.fill(message_);
        clients::send_whole(descriptor_, message_);
    }

    void end(clients::window& measured) {
        const auto received = recv(descriptor_, reply_.data(), reply_.size(), MSG_WAITALL);
        if (received < 0 && errno == EAGAIN) throw clients::load_error("no reply within two seconds");
        peers::checked(static_cast<int>(received), "receive");
        if (reply_.compare(0, static_cast<std::size_t>(received), message_) != 0)
            throw clients::load_error("a wrong reply");
        // By a reset: an orderly close would leave a port in TIME_WAIT for each exchange.
        const linger reset{.l_onoff = 1, .l_linger = 0};
        peers::checked(setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), "SO_LINGER");
        close(descriptor_);
        descriptor_ = -1;
        measured.count(1, clients::clock_type::now() - begun_);
    }

  private:
    int descriptor_ = -1;
    clients::pattern pattern_;
    std::string message_;
    std::string reply_;
    clients::clock_type::time_point begun_;
};

void load(const sockaddr_in& server, unsigned parallel, std::size_t size, clients::window& measured) {
    std::vector<exchange> exchanges;
    for (unsigned number = 0; number < parallel; ++number) exchanges.emplace_back(number, size);
    bool open = true;
    do {
        for (exchange& each : exchanges) {
            if (each.under_way()) each.end(measured);
            open = measured.open();
            if (open) each.begin(server);
        }
    } while (open);
    for (exchange& each : exchanges)
        if (each.under_way()) each.end(measured);
}

} // namespace

int main(int argc, char** argv) {
    std::string connect = "127.0.0.1:7000";
    unsigned parallel = 16;
    std::size_t size = 64;
    unsigned exchanges = 100'000;
    double seconds = 60;
    double warm_up = 1;
    bool json = false;
    command_line arguments("churn_load: connect, exchange one message, close, again and again");
    arguments.option("--connect", connect, "the server, IPv4 address and port");
    arguments.option("--connections", parallel, "connections at a time").between(1, 10000);
    arguments.option("--size", size, "bytes of the message").between(1, 4096);
    arguments.option("--exchanges", exchanges, "how many are measured").between(1, 100'000'000);
    arguments.option("--seconds", seconds, "how long they may take at most").between(0.01, 3600);
    arguments.option("--warmup", warm_up, "seconds before it").between(0, 3600);
    arguments.flag("--json", json, "does nothing: the output is JSON always");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    clients::window measured(warm_up, seconds);
    measured.limit(exchanges);
    return clients::report(
        "churn_load", measured, [&] { load(peers::parse_address(connect), parallel, size, measured); });
}
