// What the simulated kernel does to a program besides serving it: how often it makes each of the unpleasant choices
// that Linux may make.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace chainring::sim {

class world;

// Each knob but the last is in thousandths: of a thousand occasions, how many go this way. 0: never, and nothing is
// drawn.
struct faults {
    // A program on chainring notices none of these, except for the time that they take.
    unsigned later = 0;         // an operation that could complete at once is put off
    unsigned hold_back = 0;     // what is ready waits for another enter
    unsigned short_send = 0;    // a send finds less room than there is
    unsigned short_receive = 0; // a receive on a byte stream gets less than there is
    unsigned late_delivery = 0; // what TCP and UDP carry is on its way for a while
    unsigned slow_peer = 0;     // a TCP connection carries few bytes at a time
    unsigned early_end = 0;     // a multishot operation ends with a CQE that succeeded
    unsigned interrupted = 0;   // a wait ends with EINTR
    unsigned refused = 0;       // an enter takes no SQE: EAGAIN or EBUSY
    unsigned takes_some = 0;    // an enter takes a few of the SQEs, and does not wait
    unsigned silence = 0;       // a timeout passes before what is ready happens
    unsigned in_passing = 0;    // what is ready completes while another call is made
    unsigned oversleeps = 0;    // a timeout passes late
    unsigned elusive = 0;       // a cancel finds its target running (-EALREADY) or does not find it (-ENOENT)
    unsigned failed_accept = 0; // an accept finds neither descriptor nor memory; the connection waits on
    unsigned failed_pin = 0;    // a zero-copy send finds no memory to pin
    unsigned late_notification = 0; // a zero-copy send's memory is in use until its peer has read it

    // Of UDP anything may be expected.
    unsigned lost_datagram = 0;      // a UDP datagram gets lost, or the news that nobody was there
    unsigned overtaken_datagram = 0; // a UDP datagram that is on its way arrives before others

    // These are errors that a program must cope with.
    unsigned failed_operation =
        0; // a send, a receive or a connect fails with an errno that Linux may give it
    unsigned short_of_descriptors = 0; // for a while there is none (EMFILE)
    unsigned clock_jump = 0;           // seconds have passed

    std::size_t buffer = 65'536; // bytes of a socket's send and receive buffer, where the program sets none

    // A random subset of the knobs that are no errors, each at random: a world with few faults goes where one with all
    // of them never gets.
    static faults drawn(world& from);
    // The same for a world with that seed, with a random subset of the errors.
    static faults with_errors(std::uint64_t seed);
    // These, and a random subset of the errors: for a world whose program decides that it has them.
    faults and_errors(world& from) const;

    std::string to_string() const; // one line
};

} // namespace chainring::sim
