// The hand-written sink for datagrams: recvmmsg for as many as are there, each into a buffer of its own. At its end it prints the
// line that samples/udp_sink prints.
#include "command_line.hpp"
#include "datagram_sink.hpp"
#include "epoll_set.hpp"

#include <netinet/udp.h>

#include <cstring>
#include <vector>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace {

constexpr std::size_t longest = 65535; // bytes of what GRO joins

class sink {
  public:
    sink(int bound, bool joined, std::size_t most)
        : bound_(bound)
        , size_(joined ? longest : peers::buffer_size)
        , memory_(most * size_)
        , controls_(most)
        , parts_(most)
        , headers_(most) {
        const int on = 1;
        if (joined) peers::checked(setsockopt(bound, IPPROTO_UDP, UDP_GRO, &on, sizeof on), "UDP_GRO");
        for (std::size_t at = 0; at < most; ++at) {
            parts_[at] = {memory_.data() + at * size_, size_};
            headers_[at].msg_hdr = {};
            headers_[at].msg_hdr.msg_iov = &parts_[at];
            headers_[at].msg_hdr.msg_iovlen = 1;
            headers_[at].msg_hdr.msg_control = joined ? &controls_[at] : nullptr;
        }
        events_.watch(bound_, EPOLLIN, &bound_);
        events_.watch(termination_, EPOLLIN, &termination_);
    }

    void run() {
        for (bool ended = false; !ended;)
            events_.wait(false, [&](void* owner, std::uint32_t) {
                if (owner == &termination_)
                    ended = true;
                else
                    receive();
            });
        while (receive()) {
        } // what is still in the socket
    }

    void print() const { peers::print_received(bound_, datagrams_, bytes_, receives_); }

  private:
    struct alignas(cmsghdr) control {
        char room[CMSG_SPACE(sizeof(int))];
    };

    bool receive() {
        if (controlled())
            for (mmsghdr& each : headers_) each.msg_hdr.msg_controllen = sizeof(control);
        const int count =
            recvmmsg(bound_, headers_.data(), static_cast<unsigned>(headers_.size()), MSG_DONTWAIT, nullptr);
        for (int at = 0; at < count; ++at) {
            const std::size_t length = headers_[at].msg_len;
            const std::size_t one = controlled() ? segment(headers_[at].msg_hdr) : 0;
            datagrams_ += one > 0 ? (length + one - 1) / one : 1;
            bytes_ += length;
            ++receives_;
        }
        return count > 0;
    }

    bool controlled() const { return size_ == longest; }

    // The length of each of the datagrams that were joined but the last; 0: it is one.
    static std::size_t segment(msghdr& received) {
        for (cmsghdr* each = CMSG_FIRSTHDR(&received); each != nullptr; each = CMSG_NXTHDR(&received, each)) {
            if (each->cmsg_level != IPPROTO_UDP || each->cmsg_type != UDP_GRO) continue;
            int size = 0;
            std::memcpy(&size, CMSG_DATA(each), sizeof size);
            return static_cast<std::size_t>(size);
        }
        return 0;
    }

    int bound_;
    int termination_ = peers::termination_descriptor();
    std::size_t size_;
    peers::epoll_set events_;
    std::vector<char> memory_;
    std::vector<control> controls_;
    std::vector<iovec> parts_;
    std::vector<mmsghdr> headers_;
    unsigned long long datagrams_ = 0;
    unsigned long long bytes_ = 0;
    unsigned long long receives_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    bool joined = false;
    std::size_t most = 64;
    command_line arguments("epoll_udp_sink: receives datagrams with recvmmsg and counts them");
    arguments.option("--listen", listen, "IPv4 address and port; port 0 picks a free one");
    arguments.flag("--gro", joined, "receive datagrams of one sender that come in a row as one");
    arguments.option("--most", most, "datagrams of one system call").between(1, 1024);
    if (const auto status = arguments.parse(argc, argv)) return *status;

    try {
        const int bound = peers::bind_sink(listen);
        sink all(bound, joined, most);
        peers::announce(bound);
        all.run();
        all.print();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "epoll_udp_sink: %s\n", failure.what());
        return 1;
    }
}
