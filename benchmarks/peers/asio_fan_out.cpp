// The chat server of Boost.Asio's examples in its fastest form: one shared string for all members, a queue and one
// asynchronous write for each. With --gather a member's whole queue goes out in one write.
#include "asio_server.hpp"
#include "command_line.hpp"
#include "requests.hpp"

#include <array>
#include <deque>
#include <list>
#include <memory>

namespace {

namespace asio = boost::asio;

using shared_text = std::shared_ptr<const std::string>;

// Unsent messages above which a member is disconnected.
constexpr std::size_t most_unsent = 1024;
constexpr std::size_t most_gathered = 64;

class member : public std::enable_shared_from_this<member> {
  public:
    member(peers::tcp_socket socket, bool gathers, peers::counters& counted)
        : socket_(std::move(socket))
        , most_at_once_(gathers ? most_gathered : 1)
        , counted_(counted) {}

    peers::tcp_socket& socket() { return socket_; }

    void say(const shared_text& message) {
        if (unsent_.size() == most_unsent) {
            socket_.close();
            return;
        }
        unsent_.push_back(message);
        if (writing_ == 0) write();
    }

  private:
    void write() {
        parts_.clear();
        for (std::size_t at = 0; at < std::min(unsent_.size(), most_at_once_); ++at)
            parts_.push_back(asio::buffer(*unsent_[at]));
        writing_ = parts_.size();
        auto written = [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
            self->written(error);
        };
        if (parts_.size() == 1)
            asio::async_write(socket_, parts_.front(), std::move(written));
        else
            asio::async_write(socket_, parts_, std::move(written));
    }

    void written(const boost::system::error_code& error) {
        if (error) {
            socket_.close();
            return;
        }
        for (; writing_ > 0; --writing_) {
            counted_.sent(unsent_.front()->size());
            unsent_.pop_front();
        }
        if (!unsent_.empty()) write();
    }

    peers::tcp_socket socket_;
    std::size_t most_at_once_;
    peers::counters& counted_;
    std::deque<shared_text> unsent_;
    std::vector<asio::const_buffer> parts_;
    std::size_t writing_ = 0; // messages, from the front
};

class room {
  public:
    room(std::size_t size, bool gathers, peers::counters& counted)
        : size_(size)
        , gathers_(gathers)
        , counted_(counted) {}

    peers::awaitable<> serve(peers::tcp_socket socket) {
        const auto joined = std::make_shared<member>(std::move(socket), gathers_, counted_);
        const auto seat = members_.insert(members_.end(), joined);
        std::array<char, peers::buffer_size> buffer;
        requests received(size_);
        for (;;) {
            const auto [error, count] =
                co_await joined->socket().async_read_some(asio::buffer(buffer), peers::as_result);
            if (error) break;
            received.add({buffer.data(), count});
            for (std::string_view message; !(message = received.next()).empty();)
                say(std::make_shared<const std::string>(message), *joined);
        }
        members_.erase(seat);
    }

  private:
    void say(const shared_text& message, const member& author) {
        for (const auto& each : members_)
            if (each.get() != &author) each->say(message);
    }

    std::size_t size_;
    bool gathers_;
    peers::counters& counted_;
    std::list<std::shared_ptr<member>> members_;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t size = 256;
    bool gathers = false;
    command_line arguments(
        "asio_fan_out: a server that sends each message to all connections but its author's");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--size", size, "bytes of a message").between(1, 1 << 20);
    arguments.flag("--gather", gathers, "write all that waits for a member at once");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    peers::counters counted;
    room members(size, gathers, counted);
    return peers::serve_tcp(
        "asio_fan_out", listen,
        [&members](peers::tcp_socket socket) { return members.serve(std::move(socket)); }, counted);
}
