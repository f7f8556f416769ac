// The hand-written epoll echo server: edge-triggered, one registration per connection for its whole life, and
// no receive that is known to find nothing.
#include "command_line.hpp"
#include "epoll_set.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <unordered_map>
#include <vector>

namespace {

struct connection {
    int descriptor;
    bool readable = false;
    bool writable = true;
    bool ending = false; // FIN or an error was announced: a short receive is not the last one
    bool scheduled = false;
    std::vector<char> unsent; // what the peer has not made room for; nothing is received meanwhile
    std::size_t sent = 0;     // of unsent
};

class echo_server {
  public:
    echo_server(int listener, std::size_t buffer)
        : listener_(listener)
        , termination_(peers::termination_descriptor())
        , buffer_(buffer) {
        events_.watch(listener_, EPOLLIN, &listener_);
        events_.watch(termination_, EPOLLIN, &termination_);
    }

    void run() {
        for (bool ended = false; !ended;) {
            events_.wait(!ready_.empty(), [&](void* owner, std::uint32_t events) {
                if (owner == &termination_)
                    ended = true;
                else if (owner == &listener_)
                    accept_all();
                else
                    note(*static_cast<connection*>(owner), events);
            });
            turn_.swap(ready_);
            for (connection* ready : turn_) serve(*ready);
            turn_.clear();
        }
    }

    void print_counters() const {
        std::printf(
            "counters: messages=%llu bytes=%llu system_calls=%llu\n", messages_, bytes_,
            system_calls_ + events_.system_calls());
    }

  private:
    // One connection per event: the listener is level-triggered, and EMFILE then costs a retry per turn, not
    // the listener.
    void accept_all() {
        for (;;) {
            ++system_calls_;
            const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (descriptor < 0) return;
            auto peer = std::make_unique<connection>(descriptor);
            events_.watch(descriptor, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, peer.get());
            connections_.emplace(descriptor, std::move(peer));
        }
    }

    void note(connection& peer, std::uint32_t events) {
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) peer.ending = true;
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) peer.readable = true;
        if (events & EPOLLOUT) peer.writable = true;
        schedule(peer);
    }

    void schedule(connection& peer) {
        if (peer.scheduled) return;
        peer.scheduled = true;
        ready_.push_back(&peer);
    }

    // At most one receive per turn, so that a peer that never stops cannot keep the others waiting.
    void serve(connection& peer) {
        peer.scheduled = false;
        if (!peer.unsent.empty() && !flush(peer)) return;
        if (!peer.unsent.empty() || !peer.readable) return;

        ++system_calls_;
        const auto received = recv(peer.descriptor, buffer_.data(), buffer_.size(), 0);
        if (received < 0 && (errno == EAGAIN || errno == EINTR)) {
            peer.readable = errno == EINTR;
            if (peer.readable) schedule(peer);
            return;
        }
        if (received <= 0) return end(peer);

        ++messages_;
        bytes_ += received;
        // A stream that gave less than was asked for is empty: the next byte is a new edge.
        peer.readable = peer.ending || static_cast<std::size_t>(received) == buffer_.size();

        ++system_calls_;
        const auto sent = send(peer.descriptor, buffer_.data(), received, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return end(peer);
        const auto taken = sent < 0 ? 0 : sent;
        if (taken < received) {
            peer.unsent.assign(buffer_.data() + taken, buffer_.data() + received);
            peer.sent = 0;
            peer.writable = sent < 0 && errno == EINTR;
            if (peer.writable) schedule(peer);
        } else if (peer.readable) {
            schedule(peer);
        }
    }

    // False when the connection is gone.
    bool flush(connection& peer) {
        while (peer.writable && !peer.unsent.empty()) {
            ++system_calls_;
            const auto sent = send(
                peer.descriptor, peer.unsent.data() + peer.sent, peer.unsent.size() - peer.sent,
                MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0 && errno == EAGAIN) {
                peer.writable = false;
            } else if (sent < 0) {
                end(peer);
                return false;
            } else if ((peer.sent += sent) == peer.unsent.size()) {
                peer.unsent.clear();
            }
        }
        return true;
    }

    // Not scheduled here: serve() took it from the list, and events of this turn were noted before.
    void end(connection& peer) {
        ++system_calls_;
        const int descriptor = peer.descriptor;
        connections_.erase(descriptor);
        close(descriptor);
    }

    int listener_;
    int termination_;
    peers::epoll_set events_;
    std::vector<char> buffer_;
    std::unordered_map<int, std::unique_ptr<connection>> connections_;
    std::vector<connection*> ready_;
    std::vector<connection*> turn_;
    unsigned long long messages_ = 0;
    unsigned long long bytes_ = 0;
    unsigned long long system_calls_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t buffer = peers::buffer_size;
    command_line arguments("epoll_loop: the hand-written epoll echo server");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--buffer", buffer, peers::buffer_option).between(1, peers::largest_buffer);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        const int listener = peers::listen_on(listen);
        peers::checked(fcntl(listener, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
        echo_server server(listener, buffer);
        peers::announce(listener);
        server.run();
        server.print_counters();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "epoll_loop: %s\n", failure.what());
        return 1;
    }
}
