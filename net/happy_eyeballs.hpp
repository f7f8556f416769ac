// Connecting to a host of several addresses, some of which may not answer: "happy eyeballs" (RFC 8305). The
// next address is tried beside those before it when they have had some time, or at once when one of them
// fails. The first connection wins; the other attempts are cancelled, and have ended when it is handed over.
//
// Users meet it as tcp_stream::connect(host, port).
#pragma once

#include <chainring/net/resolve.hpp>
#include <chainring/net/socket.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace chainring {

class tcp_stream;

struct connect_options {
    socket_options socket;
    // Before the next address is tried. The RFC's advice; 0 or less: all of them at the same time.
    duration attempt_delay = std::chrono::milliseconds(250);
    resolve_options resolve;
};

// IPv4 and IPv6 take turns, beginning with the family of the first endpoint; in each of them the order stays.
std::vector<endpoint> interleave_families(const std::vector<endpoint>& endpoints);

// Tries them in this order. The error is that of the first attempt which got as far as the network.
task<result<tcp_stream>>
connect_to_first(std::vector<endpoint> candidates, socket_options options, duration attempt_delay);

task<result<tcp_stream>> connect_to_host(std::string host, std::string service, connect_options options);

} // namespace chainring
