// A script: what a program does on a pair of connected sockets, step by step, as data. So either kernel can perform it, a
// generator can draw it, and a failure can print it.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace chainring::test::conformance {

enum class transport { tcp, unix_stream, seqpacket, unix_datagram, udp };

constexpr bool has_records(transport over) noexcept {
    return over != transport::tcp && over != transport::unix_stream;
}
constexpr bool has_connections(transport over) noexcept {
    return over != transport::unix_datagram && over != transport::udp;
}

// `near` and `far` are connected. Where there are connections, a listener waits, and a client may connect to it.
enum place : unsigned char { near, far, listener, client, places };

enum class verb : unsigned char {
    // These take an SQE each; a step `enter`, or one that uses the ring itself, submits them.
    send,
    gather,         // a sendmsg of three pieces
    send_zero_copy, // with its notification
    receive,
    receive_many, // multishot, into provided buffers
    poll_room,    // POLLOUT
    accept,
    accept_many,
    connect,
    cancel,
    close,
    nothing,
    // These do not.
    enter,       // submits, and lets happen what can happen now
    shutdown,    // `flags` is how
    reset_close, // closing that end resets the connection
    fill,        // sends dots until the way to the peer is full
    drain,       // receives all that is there
};

enum class link_kind : unsigned char { none, soft, hard };

struct step {
    verb what;
    place at = near;
    std::size_t size = 0; // bytes of a send, room of a receive
    int flags = 0;
    link_kind next = link_kind::none;
    bool silent = false;    // skips the completion of its success
    std::size_t target = 0; // of a cancel: the number of a step

    bool takes_sqe() const noexcept { return what < verb::enter; }
    bool is_send() const noexcept { return what <= verb::send_zero_copy; }
};

struct script {
    transport over;
    std::vector<step> steps;
    int buffer = 0; // bytes of the send buffers, 0: as they are

    // What fits into a socket is each kernel's own affair: where that matters, bytes are not counted.
    bool counts_bytes() const noexcept {
        if (buffer != 0) return false;
        for (const step& each : steps)
            if (each.what == verb::fill) return false;
        return true;
    }
};

// Chains end with their submission, and whoever ends a chain speaks.
inline void end_chains(script& ended) {
    for (std::size_t at = 0; at < ended.steps.size(); ++at) {
        step& each = ended.steps[at];
        const bool goes_on = at + 1 < ended.steps.size() && ended.steps[at + 1].takes_sqe();
        if (!goes_on || !each.takes_sqe()) each.next = link_kind::none;
        // One that is cancelled with its chain notifies without having promised to (docs/simulation.md).
        if (goes_on && ended.steps[at + 1].what == verb::send_zero_copy) each.next = link_kind::none;
        if (each.next == link_kind::none) each.silent = false;
    }
}

// Of a step: "send near 100 waitall -> (silent)".
inline std::string to_string(const step& shown) {
    constexpr const char* verbs[] = {"send",      "gather",  "send zero copy", "receive",  "receive many",
                                     "poll room", "accept",  "accept many",    "connect",  "cancel",
                                     "close",     "nothing", "enter",          "shutdown", "reset close",
                                     "fill",      "drain"};
    constexpr const char* names[] = {"near", "far", "listener", "client"};
    std::string text = verbs[static_cast<std::size_t>(shown.what)];
    if (shown.what == verb::cancel) return text + " of step " + std::to_string(shown.target);
    if (shown.what == verb::enter || shown.what == verb::nothing) return text;
    text += std::string(" ") + names[shown.at];
    if (shown.what == verb::shutdown)
        return text + (shown.flags == SHUT_RD ? " rd" : shown.flags == SHUT_WR ? " wr" : " rdwr");
    if (shown.size != 0) text += ' ' + std::to_string(shown.size);
    if ((shown.flags & MSG_WAITALL) != 0) text += " waitall";
    if ((shown.flags & MSG_DONTWAIT) != 0) text += " dontwait";
    if ((shown.flags & MSG_TRUNC) != 0) text += " trunc";
    if (shown.next != link_kind::none) text += shown.next == link_kind::hard ? " => " : " -> ";
    if (shown.silent) text += "(silent)";
    return text;
}

inline std::string to_string(const script& shown) {
    constexpr const char* transports[] = {"TCP", "unix stream", "seqpacket", "unix datagram", "UDP"};
    std::string text = transports[static_cast<std::size_t>(shown.over)];
    if (shown.buffer != 0) text += ", send buffers of " + std::to_string(shown.buffer);
    for (std::size_t at = 0; at < shown.steps.size(); ++at)
        text += "\n    " + std::to_string(at) + ": " + to_string(shown.steps[at]);
    return text;
}

} // namespace chainring::test::conformance
