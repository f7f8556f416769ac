// Sends datagrams as fast as it can, many with each system call: each for itself, or as one that the kernel cuts (GSO).
#include "load.hpp"

#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace {

constexpr unsigned at_a_time = 64; // datagrams, with either

struct options {
    std::size_t size = 1200;
    bool gso = false;
};

// Counts the datagrams that the kernel took.
void load(const std::string& server, const options& wanted, clients::window& measured) {
    const sockaddr_in address = peers::parse_address(server);
    const int descriptor = clients::connect_to(
        reinterpret_cast<const sockaddr*>(&address), sizeof address, SOCK_DGRAM,
        ("connect " + server).c_str());
    std::string bytes(wanted.size * at_a_time, '\0');
    clients::pattern(1).fill(bytes);
    if (wanted.gso) {
        const int size = static_cast<int>(wanted.size);
        peers::checked(setsockopt(descriptor, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size), "UDP_SEGMENT");
    }
    // With GSO as many as one datagram of the longest kind holds.
    const std::size_t in_one = std::min<std::size_t>(at_a_time, 65'000 / wanted.size);
    std::vector<iovec> vectors(at_a_time);
    std::vector<mmsghdr> headers(at_a_time);
    for (unsigned at = 0; at < at_a_time; ++at) {
        vectors[at] = {bytes.data() + at * wanted.size, wanted.size};
        headers[at] = {};
        headers[at].msg_hdr.msg_iov = &vectors[at];
        headers[at].msg_hdr.msg_iovlen = 1;
    }
    while (measured.open()) {
        if (wanted.gso) {
            const auto took = ::send(descriptor, bytes.data(), in_one * wanted.size, 0);
            peers::checked(static_cast<int>(took), "send");
            measured.count(in_one);
        } else {
            const int took = sendmmsg(descriptor, headers.data(), at_a_time, 0);
            measured.count(static_cast<unsigned>(peers::checked(took, "sendmmsg")));
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    clients::common_options common{.connect = "127.0.0.1:7000", .seconds = 2, .warm_up = 0};
    options wanted;
    command_line arguments("udp_load: sends datagrams as fast as it can");
    common.add_to(arguments, "IPv4 address and port of the server");
    arguments.option("--size", wanted.size, "bytes of a datagram").between(1, 60'000);
    arguments.flag("--gso", wanted.gso, "hand them to the kernel as one that it cuts");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    clients::window measured(common.warm_up, common.seconds);
    return clients::report("udp_load", measured, [&] { load(common.connect, wanted, measured); });
}
