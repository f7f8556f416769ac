// The hand-written epoll fan-out: one log of the messages that somebody has still to get, a place in it for each member, and
// one gathered send for what a member misses.
#include "command_line.hpp"
#include "epoll_set.hpp"
#include "requests.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <vector>

namespace {

// Unsent messages above which a member is disconnected.
constexpr std::size_t most_unsent = 1024;
constexpr std::size_t most_gathered = 64;

struct member {
    int descriptor;
    requests received;
    std::uint64_t next; // the message that it gets next, counted from the first of all
    std::size_t at = 0; // bytes of it that were sent
    bool writable = true;
    bool gone = false;
};

struct message {
    std::string text;
    const member* author;
    std::size_t missing; // members that have not got it, and the author until its turn comes
};

class room {
  public:
    room(int listener, std::size_t size)
        : listener_(listener)
        , termination_(peers::termination_descriptor())
        , size_(size) {
        events_.watch(listener_, EPOLLIN, &listener_);
        events_.watch(termination_, EPOLLIN, &termination_);
    }

    void run() {
        for (bool ended = false; !ended;) {
            events_.wait(false, [&](void* owner, std::uint32_t events) {
                if (owner == &termination_)
                    ended = true;
                else if (owner == &listener_)
                    accept_all();
                else
                    note(*static_cast<member*>(owner), events);
            });
            for (const auto& each : members_) tell(*each);
            std::erase_if(members_, [this](const auto& each) { return each->gone && leave(*each); });
            for (; !log_.empty() && log_.front().missing == 0; ++first_) log_.pop_front();
        }
    }

    void print_counters() const {
        std::printf(
            "counters: messages=%llu bytes=%llu system_calls=%llu\n", messages_, bytes_,
            system_calls_ + events_.system_calls());
    }

  private:
    std::uint64_t end() const { return first_ + log_.size(); }
    message& at(std::uint64_t number) { return log_[number - first_]; }

    void accept_all() {
        for (;;) {
            ++system_calls_;
            const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (descriptor < 0) return;
            members_.push_back(std::make_unique<member>(descriptor, requests(size_), end()));
            events_.watch(descriptor, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, members_.back().get());
        }
    }

    void note(member& from, std::uint32_t events) {
        if (events & EPOLLOUT) from.writable = true;
        if (events & ~EPOLLOUT) receive(from);
    }

    // All that is there: an edge comes once.
    void receive(member& from) {
        while (!from.gone) {
            ++system_calls_;
            const auto count = recv(from.descriptor, buffer_.data(), buffer_.size(), 0);
            if (count < 0 && errno == EAGAIN) return;
            if (count < 0 && errno == EINTR) continue;
            from.gone = count <= 0;
            from.received.add({buffer_.data(), count > 0 ? static_cast<std::size_t>(count) : 0});
            for (std::string_view said; !(said = from.received.next()).empty();)
                log_.emplace_back(std::string(said), &from, members_.size());
        }
    }

    void tell(member& to) {
        if (end() - to.next > most_unsent) to.gone = true;
        while (to.writable && !to.gone && to.next != end()) {
            const std::size_t parts = gather(to);
            if (parts == 0) {
                advance(to, 0); // all of it is its own
                continue;
            }
            msghdr header{};
            header.msg_iov = parts_.data();
            header.msg_iovlen = parts;
            ++system_calls_;
            const auto sent = sendmsg(to.descriptor, &header, MSG_NOSIGNAL);
            if (sent >= 0)
                advance(to, static_cast<std::size_t>(sent));
            else if (errno == EAGAIN)
                to.writable = false;
            else if (errno != EINTR)
                to.gone = true;
        }
    }

    // What it gets next, except what it has said itself.
    std::size_t gather(const member& to) {
        std::size_t parts = 0;
        std::size_t begun = to.at;
        for (std::uint64_t number = to.next; number != end() && parts < parts_.size(); ++number) {
            message& next = at(number);
            if (next.author == &to) continue;
            parts_[parts++] = {next.text.data() + begun, next.text.size() - begun};
            begun = 0;
        }
        return parts;
    }

    void advance(member& to, std::size_t sent) {
        for (; to.next != end(); ++to.next) {
            message& next = at(to.next);
            if (next.author != &to) {
                const std::size_t rest = next.text.size() - to.at;
                if (sent < rest) break;
                sent -= rest;
                ++messages_;
                bytes_ += next.text.size();
            }
            to.at = 0;
            --next.missing;
        }
        to.at += sent;
    }

    bool leave(const member& leaving) {
        for (std::uint64_t number = leaving.next; number != end(); ++number) --at(number).missing;
        ++system_calls_;
        close(leaving.descriptor);
        return true;
    }

    int listener_;
    int termination_;
    std::size_t size_;
    peers::epoll_set events_;
    std::vector<std::unique_ptr<member>> members_;
    std::deque<message> log_;
    std::uint64_t first_ = 0; // of the log, counted from the first of all
    std::array<char, peers::buffer_size> buffer_;
    std::array<iovec, most_gathered> parts_;
    unsigned long long messages_ = 0;
    unsigned long long bytes_ = 0;
    unsigned long long system_calls_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t size = 256;
    command_line arguments("epoll_fan_out: the hand-written epoll server that sends each message to all "
                           "connections but its author's");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.option("--size", size, "bytes of a message").between(1, 1 << 20);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        peers::raise_descriptor_limit();
        const int listener = peers::listen_on(listen);
        peers::checked(fcntl(listener, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
        room members(listener, size);
        peers::announce(listener);
        members.run();
        members.print_counters();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "epoll_fan_out: %s\n", failure.what());
        return 1;
    }
}
