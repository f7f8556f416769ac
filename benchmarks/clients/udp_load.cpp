// Sends datagrams as fast as it can, many with each system call: each for itself, or as one that the kernel cuts (GSO).
#include "command_line.hpp"
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

// Returns how many datagrams the kernel took.
std::uint64_t send_for(const std::string& server, const options& wanted, double seconds) {
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
    std::uint64_t sent = 0;
    const auto begun = clients::clock_type::now();
    while (clients::seconds_of(clients::clock_type::now() - begun) < seconds) {
        if (wanted.gso) {
            const auto took = ::send(descriptor, bytes.data(), in_one * wanted.size, 0);
            peers::checked(static_cast<int>(took), "send");
            sent += in_one;
        } else {
            sent += static_cast<unsigned>(
                peers::checked(sendmmsg(descriptor, headers.data(), at_a_time, 0), "sendmmsg"));
        }
    }
    return sent;
}

} // namespace

int main(int argc, char** argv) {
    std::string connect = "127.0.0.1:7000";
    options wanted;
    double seconds = 2;
    command_line arguments("udp_load: sends datagrams as fast as it can");
    arguments.option("--connect", connect, "IPv4 address and port of the server");
    arguments.option("--size", wanted.size, "bytes of a datagram").between(1, 60'000);
    arguments.flag("--gso", wanted.gso, "hand them to the kernel as one that it cuts");
    arguments.option("--seconds", seconds, "how long").between(0.01, 3600);
    if (const auto status = arguments.parse(argc, argv)) return *status;
    try {
        std::printf("sent=%llu\n", static_cast<unsigned long long>(send_for(connect, wanted, seconds)));
        return 0;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "udp_load: %s\n", failure.what());
        return 1;
    }
}
