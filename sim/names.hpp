// Names, as the headers of Linux spell them, for what the simulation lacks and refuses.
#pragma once

#include <span>
#include <string>

namespace chainring::sim {

struct named_bit {
    unsigned bit;
    const char* name;
};

extern const std::span<const named_bit> sqe_flags;
extern const std::span<const named_bit> message_flags; // of send(2) and recv(2)
extern const std::span<const named_bit> message_modes; // of an SQE's ioprio
extern const std::span<const named_bit> accept_modes;
extern const std::span<const named_bit> cancel_flags;
extern const std::span<const named_bit> poll_events;
extern const std::span<const named_bit> poll_modes;

// "MSG_PEEK, MSG_MORE"; a bit that has no name as a number.
std::string names_of(unsigned bits, std::span<const named_bit> names);

// "SO_REUSEPORT", or "option 99 of level 1".
std::string option_name(int level, int option);

} // namespace chainring::sim
