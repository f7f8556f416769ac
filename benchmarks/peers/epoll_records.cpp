// The hand-written epoll server over SEQPACKET: a receive for each record, and one sendmmsg for the burst that answers it.
#include "command_line.hpp"
#include "epoll_set.hpp"
#include "unix_listening.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <unordered_map>
#include <vector>

namespace {

struct connection {
    int descriptor;
    std::size_t size = 0; // of the record that is answered
    unsigned unsent = 0;  // replies
    std::array<char, peers::buffer_size> record;
};

class record_server {
  public:
    record_server(int listener, unsigned burst)
        : listener_(listener)
        , termination_(peers::termination_descriptor())
        , burst_(burst)
        , places_(burst)
        , parts_(burst)
        , replies_(burst) {
        for (unsigned place = 0; place < burst; ++place) {
            places_[place] = static_cast<char>(place);
            parts_[place][0] = {&places_[place], 1};
            replies_[place].msg_hdr = {};
            replies_[place].msg_hdr.msg_iov = parts_[place].data();
            replies_[place].msg_hdr.msg_iovlen = parts_[place].size();
        }
        events_.watch(listener_, EPOLLIN, &listener_);
        events_.watch(termination_, EPOLLIN, &termination_);
    }

    void run() {
        for (bool ended = false; !ended;)
            events_.wait(false, [&](void* owner, std::uint32_t) {
                if (owner == &termination_)
                    ended = true;
                else if (owner == &listener_)
                    accept_one();
                else
                    serve(*static_cast<connection*>(owner));
            });
    }

    void print_counters() const {
        std::printf(
            "counters: messages=%llu bytes=%llu system_calls=%llu\n", messages_, bytes_,
            system_calls_ + events_.system_calls());
    }

  private:
    void accept_one() {
        ++system_calls_;
        const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) return;
        auto peer = std::make_unique<connection>(descriptor);
        events_.watch(descriptor, EPOLLIN, peer.get());
        connections_.emplace(descriptor, std::move(peer));
    }

    // Level-triggered: one record an event, and no receive that is known to find nothing.
    void serve(connection& peer) {
        const bool waited = peer.unsent > 0;
        if (!waited) {
            ++system_calls_;
            const auto received = recv(peer.descriptor, peer.record.data(), peer.record.size(), 0);
            if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
            if (received <= 0) return end(peer);
            peer.size = static_cast<std::size_t>(received);
            peer.unsent = burst_;
        }
        const bool open = answer(peer);
        if (!open) return end(peer);
        if (waited != (peer.unsent > 0))
            events_.watch_instead(peer.descriptor, waited ? EPOLLIN : EPOLLOUT, &peer);
    }

    // As far as the peer has room; false: it is gone.
    bool answer(connection& peer) {
        for (unsigned place = burst_ - peer.unsent; place < burst_; ++place)
            parts_[place][1] = {peer.record.data() + 1, peer.size - 1};
        ++system_calls_;
        const int sent =
            sendmmsg(peer.descriptor, &replies_[burst_ - peer.unsent], peer.unsent, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        peer.unsent -= static_cast<unsigned>(sent);
        messages_ += static_cast<unsigned>(sent);
        bytes_ += static_cast<unsigned>(sent) * peer.size;
        return true;
    }

    void end(connection& peer) {
        ++system_calls_;
        const int descriptor = peer.descriptor;
        connections_.erase(descriptor);
        close(descriptor);
    }

    int listener_;
    int termination_;
    unsigned burst_;
    peers::epoll_set events_;
    std::unordered_map<int, std::unique_ptr<connection>> connections_;
    // A reply is its place in the burst, and what follows the first byte of the record.
    std::vector<char> places_;
    std::vector<std::array<iovec, 2>> parts_;
    std::vector<mmsghdr> replies_;
    unsigned long long messages_ = 0;
    unsigned long long bytes_ = 0;
    unsigned long long system_calls_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "unix:@epoll-records";
    unsigned burst = 16;
    command_line arguments(
        "epoll_records: the hand-written epoll server that answers a record with a burst of them");
    arguments.option("--listen", listen, "an abstract unix name, as unix:@name");
    arguments.option("--burst", burst, "records of an answer").between(1, 256);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        const int listener = peers::listen_for_records(listen);
        peers::checked(fcntl(listener, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
        record_server server(listener, burst);
        std::printf("listening on %s\n", listen.c_str());
        std::fflush(stdout);
        server.run();
        server.print_counters();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "epoll_records: %s\n", failure.what());
        return 1;
    }
}
