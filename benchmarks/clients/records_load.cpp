// Loads a SEQPACKET server that answers each record with a burst of records, and checks every byte and the order.
#include "load.hpp"
#include "unix_listening.hpp"

#include <memory>

namespace {

struct options {
    unsigned connections = 64;
    std::size_t size = 256;
    unsigned burst = 16;
};

class connection {
  public:
    connection(int descriptor, std::uint64_t seed, const options& wanted)
        : descriptor_(descriptor)
        , wanted_(wanted)
        , pattern_(seed)
        , request_(wanted.size, '\0')
        , received_(wanted.burst, std::string(wanted.size + 1, '\0'))
        , vectors_(wanted.burst)
        , headers_(wanted.burst) {
        for (unsigned place = 0; place < wanted.burst; ++place) {
            // One byte more than a record has, to see one that is too long.
            vectors_[place] = {received_[place].data(), received_[place].size()};
            headers_[place].msg_hdr = {};
            headers_[place].msg_hdr.msg_iov = &vectors_[place];
            headers_[place].msg_hdr.msg_iovlen = 1;
        }
    }

    int descriptor() const { return descriptor_; }
    bool idle() const { return missing_ == 0; }

    void ask() {
        pattern_.fill(request_);
        clients::send_whole(descriptor_, request_);
        missing_ = wanted_.burst;
        asked_ = clients::clock_type::now();
    }

    // Takes what has arrived of the answer.
    void receive(clients::window& measured) {
        const int count = recvmmsg(descriptor_, headers_.data(), wanted_.burst, MSG_DONTWAIT, nullptr);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        peers::checked(count, "receive");
        for (int i = 0; i < count; ++i) check(static_cast<unsigned>(i));
        measured.count(static_cast<unsigned>(count), clients::clock_type::now() - asked_);
    }

  private:
    void check(unsigned at) {
        const std::size_t length = headers_[at].msg_len;
        if (length == 0) throw clients::load_error("the server closed a connection");
        if (missing_ == 0) throw clients::load_error("a record that nobody asked for");
        request_[0] = static_cast<char>(wanted_.burst - missing_);
        if (length != request_.size() || std::memcmp(received_[at].data(), request_.data(), length) != 0)
            throw clients::load_error("a wrong record, or one out of its order");
        --missing_;
    }

    int descriptor_;
    const options& wanted_;
    clients::pattern pattern_;
    std::string request_; // its first byte is free for the place that a reply has
    unsigned missing_ = 0;
    clients::clock_type::time_point asked_;
    std::vector<std::string> received_;
    std::vector<iovec> vectors_;
    std::vector<mmsghdr> headers_;
};

void load(const std::string& server, const options& wanted, clients::window& measured) {
    const auto address = peers::parse_unix_address(server);
    std::vector<std::unique_ptr<connection>> connections;
    clients::poller<connection> ready;
    for (unsigned number = 0; number < wanted.connections; ++number) {
        const int descriptor =
            clients::connect_to(address.any(), address.length, SOCK_SEQPACKET, ("connect " + server).c_str());
        connections.push_back(std::make_unique<connection>(descriptor, number, wanted));
        ready.add(descriptor, EPOLLIN, connections.back().get());
    }
    std::size_t busy = connections.size();
    for (auto& each : connections) each->ask();
    while (busy > 0) {
        const bool open = measured.open();
        measured.check_patience();
        ready.wait([&](connection& readable) {
            readable.receive(measured);
            if (!readable.idle()) return;
            if (open)
                readable.ask();
            else
                --busy;
        });
    }
}

} // namespace

int main(int argc, char** argv) {
    clients::common_options common{.connect = "unix:@chainring-records"};
    options wanted;
    command_line arguments("records_load: a load generator for SEQPACKET servers that answer in bursts");
    common.add_to(arguments, "the server's abstract unix name, as unix:@name");
    arguments.option("--connections", wanted.connections, "connections").between(1, 100000);
    arguments.option("--size", wanted.size, "bytes of a record").between(2, 4096);
    arguments.option("--burst", wanted.burst, "records of an answer").between(1, 256);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    clients::window measured(common.warm_up, common.seconds);
    return clients::report("records_load", measured, [&] { load(common.connect, wanted, measured); });
}
