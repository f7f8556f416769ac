// Sends each message that a connection brings to all others: one shared message in as many send queues.
#include "command_line.hpp"
#include "requests.hpp"
#include "serving.hpp"

#include <list>

namespace cr = chainring;

namespace {

class room {
  public:
    explicit room(std::size_t size)
        : size_(size) {}

    cr::task<> serve(cr::tcp_stream member) {
        const auto seat = members_.insert(members_.end(), &member);
        requests received(size_);
        while (auto chunk = co_await member.receive()) {
            if (chunk->empty()) break; // end of stream
            received.add(chunk->text());
            for (std::string_view message; !(message = received.next()).empty();)
                say(cr::shared_message(std::string(message)), member);
        }
        members_.erase(seat);
    }

  private:
    void say(const cr::shared_message& message, const cr::tcp_stream& author) {
        for (cr::tcp_stream* member : members_) {
            if (member == &author) continue;
            if (const auto written = member->try_write(message);
                !written && written.error() == cr::errc::queue_full)
                member->abort(); // its own receive ends, and takes it out of the room
        }
    }

    std::size_t size_;
    std::list<cr::tcp_stream*> members_;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t size = 256;
    command_line arguments("fan_out: a server that sends each message to all connections but its author's");
    arguments.option("--listen", listen, "address and port; port 0 picks a free one");
    arguments.option("--size", size, "bytes of a message").between(1, 1 << 20);
    if (const auto status = arguments.parse(argc, argv)) return *status;
    room members(size);
    return serving::serve<cr::tcp_stream>(
        "fan_out", listen, [&members](cr::tcp_stream member) { return members.serve(std::move(member)); });
}
