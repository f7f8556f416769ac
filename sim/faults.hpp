// What the simulated kernel does to a program besides serving it: how often it makes each of the unpleasant choices
// that Linux may make.
#pragma once

#include <cstddef>
#include <string>

namespace chainring::sim {

class world;

// Each knob but the last is in thousandths: of a thousand occasions, how many go this way. 0: never, and nothing is
// drawn.
struct faults {
    unsigned later = 0;         // an operation that could complete at once is put off
    unsigned hold_back = 0;     // what is ready waits for another enter
    unsigned short_send = 0;    // a send finds less room than there is
    unsigned short_receive = 0; // a receive on a byte stream gets less than there is
    unsigned late_delivery = 0; // bytes, ends and resets of TCP are on their way for a while
    unsigned early_end = 0;     // a multishot operation ends with a CQE that succeeded
    unsigned interrupted = 0;   // a wait ends with EINTR
    unsigned refused = 0;       // an enter takes no SQE: EAGAIN
    unsigned silence = 0;       // a timeout passes before what is ready happens
    unsigned in_passing = 0;    // what is ready completes while another call is made
    unsigned elusive = 0;       // a cancel finds its target running (-EALREADY) or does not find it (-ENOENT)
    std::size_t buffer = 65'536; // bytes of a socket's send and receive buffer, where the program sets none

    // A random subset of the knobs, each at random: a world with few faults goes where one with all of them
    // never gets.
    static faults drawn(world& from);

    std::string to_string() const; // one line
};

} // namespace chainring::sim
