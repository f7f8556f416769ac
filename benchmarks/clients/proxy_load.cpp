// Streams through a proxy: this process is the source before it and the sink behind it, and checks that every byte
// arrives in its place. A message is one block of the source's.
#include "load.hpp"

#include <poll.h>
#include <unistd.h>

#include <memory>

namespace {

// A prime: no block that is lost, repeated or swapped leaves the others as they were.
constexpr std::size_t period = 65521;

// The bytes of all streams repeat the same text; each begins elsewhere in it. There is more than one period of it, so
// that a block is in one piece wherever it begins.
class endless_text {
  public:
    explicit endless_text(std::size_t longest_piece)
        : text_(period, '\0') {
        clients::pattern(1).fill(text_);
        while (text_.size() < period + longest_piece)
            text_.append(text_, 0, std::min(period, period + longest_piece - text_.size()));
    }
    const char* at(std::uint64_t position) const { return text_.data() + position % period; }

  private:
    std::string text_;
};

struct end {
    int descriptor = -1;
    bool sink = false;
    std::uint64_t position = 0; // in the stream, in bytes
    end* source = nullptr;      // a sink's
};

class streams {
  public:
    streams(
        const sockaddr_in& proxy, int listener, unsigned count, std::size_t block, clients::window& measured)
        : block_(block)
        , measured_(measured)
        , text_(std::max(block, sizeof buffer_))
        , sources_(count)
        , sinks_(count) {
        for (unsigned number = 0; number < count; ++number) {
            const std::uint64_t begins_at = std::uint64_t{number} * 1009;
            sources_[number] = {.descriptor = clients::connect_to(proxy), .position = begins_at};
            // One at a time, so that the two ends are known to be of one stream.
            sinks_[number] = {
                .descriptor = accept_from(listener),
                .sink = true,
                .position = begins_at,
                .source = &sources_[number]};
        }
        for (end& source : sources_) ready_.add(source.descriptor, EPOLLOUT, &source);
        for (end& sink : sinks_) ready_.add(sink.descriptor, EPOLLIN, &sink);
    }

    void run() {
        while (measured_.open()) move();
        for (end& source : sources_) {
            ready_.remove(source.descriptor);
            shutdown(source.descriptor, SHUT_WR);
        }
        while (ended_ < sinks_.size()) {
            measured_.check_patience();
            move();
        }
    }

  private:
    static int accept_from(int listener) {
        pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
        constexpr int milliseconds = 5000;
        if (peers::checked(poll(&waiting, 1, milliseconds), "poll") == 0)
            throw clients::load_error("the proxy does not connect");
        return peers::checked(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
    }

    void move() {
        ready_.wait([this](end& ready) {
            if (ready.sink)
                receive(ready);
            else
                send(ready);
        });
    }

    void send(end& source) {
        const auto sent =
            ::send(source.descriptor, text_.at(source.position), block_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
        peers::checked(static_cast<int>(sent), "send");
        source.position += static_cast<std::uint64_t>(sent);
    }

    void receive(end& sink) {
        const auto received = recv(sink.descriptor, buffer_, sizeof buffer_, MSG_DONTWAIT);
        if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
        peers::checked(static_cast<int>(received), "receive");
        if (received == 0) {
            if (sink.position != sink.source->position) throw clients::load_error("the end came too early");
            ready_.remove(sink.descriptor);
            ++ended_;
            return;
        }
        if (std::memcmp(buffer_, text_.at(sink.position), static_cast<std::size_t>(received)) != 0)
            throw clients::load_error("wrong bytes");
        sink.position += static_cast<std::uint64_t>(received);
        arrived_ += static_cast<std::uint64_t>(received);
        measured_.count(arrived_ / block_);
        arrived_ %= block_;
    }

    std::size_t block_;
    clients::window& measured_;
    char buffer_[std::size_t{128} * 1024];
    endless_text text_;
    std::vector<end> sources_;
    std::vector<end> sinks_;
    clients::poller<end> ready_;
    std::size_t ended_ = 0;     // sinks
    std::uint64_t arrived_ = 0; // bytes that are not yet a block
};

} // namespace

int main(int argc, char** argv) {
    clients::common_options common{.connect = "127.0.0.1:7002"};
    std::string sink = "127.0.0.1:7000";
    unsigned connections = 16;
    std::size_t block = 65536;
    command_line arguments("proxy_load: streams through a proxy, from its one side to its other");
    common.add_to(arguments, "the proxy, IPv4 address and port");
    arguments.option("--sink", sink, "where the proxy connects to: this program listens there");
    arguments.option("--connections", connections, "streams").between(1, 10000);
    arguments.option("--size", block, "bytes of a block").between(1, 1 << 24);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    clients::window measured(common.warm_up, common.seconds);
    return clients::report("proxy_load", measured, [&] {
        const int listener = peers::listen_on(sink);
        const auto proxy = peers::parse_address(common.connect);
        const auto through = std::make_unique<streams>(proxy, listener, connections, block, measured);
        through->run();
    });
}
