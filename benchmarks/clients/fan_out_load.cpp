// Loads a server that sends each message to all connections but its author's: one publisher, many subscribers, and
// every byte that they receive is checked. A message is published when the one DEPTH before it has reached everybody.
#include "load.hpp"

#include <deque>

namespace {

struct options {
    unsigned subscribers = 1000;
    std::size_t size = 256;
    unsigned in_flight = 8;
};

struct publication {
    std::string text;
    clients::clock_type::time_point published;
    unsigned missing; // subscribers that have not received it
};

struct subscriber {
    int descriptor;
    std::uint64_t message = 0; // the one it receives next, counted from the first
    std::size_t at = 0;        // bytes of it that have arrived
};

class audience {
  public:
    audience(const sockaddr_in& server, const options& wanted, clients::window& measured)
        : wanted_(wanted)
        , measured_(measured)
        , subscribers_(wanted.subscribers) {
        for (subscriber& each : subscribers_) {
            each.descriptor = clients::connect_to(server);
            ready_.add(each.descriptor, EPOLLIN, &each);
        }
        // The last to come: the server knows all the others when it receives the first message.
        publisher_ = clients::connect_to(server);
    }

    void run() {
        for (;;) {
            const bool open = measured_.open();
            while (open && under_way_.size() < wanted_.in_flight) publish();
            if (under_way_.empty()) return;
            measured_.check_patience();
            ready_.wait([this](subscriber& readable) { receive(readable); });
            for (; !under_way_.empty() && under_way_.front().missing == 0; ++first_) under_way_.pop_front();
        }
    }

  private:
    void publish() {
        publication& next = under_way_.emplace_back(
            std::string(wanted_.size, '\0'), clients::clock_type::now(), wanted_.subscribers);
        pattern_.fill(next.text);
        clients::send_whole(publisher_, next.text);
    }

    void receive(subscriber& from) {
        const auto received = recv(from.descriptor, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
        peers::checked(static_cast<int>(received), "receive");
        if (received == 0) throw clients::load_error("the server closed a connection");
        const auto now = clients::clock_type::now();
        std::string_view rest(buffer_.data(), static_cast<std::size_t>(received));
        while (!rest.empty()) {
            if (from.message - first_ >= under_way_.size())
                throw clients::load_error("more was received than published");
            publication& expected = under_way_[from.message - first_];
            const std::size_t part = std::min(rest.size(), wanted_.size - from.at);
            if (std::memcmp(rest.data(), expected.text.data() + from.at, part) != 0)
                throw clients::load_error("a wrong message");
            rest.remove_prefix(part);
            from.at += part;
            if (from.at < wanted_.size) return;
            from.at = 0;
            ++from.message;
            --expected.missing;
            measured_.count(1, now - expected.published);
        }
    }

    const options& wanted_;
    clients::window& measured_;
    clients::poller<subscriber> ready_;
    std::vector<subscriber> subscribers_;
    int publisher_;
    clients::pattern pattern_{1};
    std::deque<publication> under_way_;
    std::uint64_t first_ = 0; // of those, counted from the first of all
    std::array<char, 65536> buffer_;
};

} // namespace

int main(int argc, char** argv) {
    clients::common_options common{.connect = "127.0.0.1:7001"};
    options wanted;
    command_line arguments("fan_out_load: one publisher and many subscribers");
    common.add_to(arguments, "the server, IPv4 address and port");
    arguments.option("--connections", wanted.subscribers, "subscribers").between(1, 100000);
    arguments.option("--size", wanted.size, "bytes of a message").between(1, 4096);
    arguments.option("--depth", wanted.in_flight, "messages in flight").between(1, 16);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    clients::window measured(common.warm_up, common.seconds);
    return clients::report("fan_out_load", measured, [&] {
        audience(peers::parse_address(common.connect), wanted, measured).run();
    });
}
