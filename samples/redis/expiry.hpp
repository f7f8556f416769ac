// The time at which a key ends, as commands say it: EX 10, PX 10000, EXAT and PXAT with a time since 1970.
#pragma once

#include "replies.hpp"
#include "store.hpp"

#include <optional>
#include <string_view>

namespace redis {

struct end_option {
    bool in_seconds;
    bool from_now;
    std::string_view value = {};

    // With another value, perhaps: the last one counts.
    bool is_same_option(const end_option& other) const {
        return in_seconds == other.in_seconds && from_now == other.from_now;
    }
    // ex, px, exat or pxat; nothing: it is another word.
    static std::optional<end_option> named(std::string_view word);
};

// Nothing: the value makes no sense, and `to` says so for the command of that name.
std::optional<unix_milliseconds>
end_of(const end_option& said, std::string_view command, const store& keys, replies& to);

// The same for a command to which an end that has passed is no error. `value`: seconds.
std::optional<unix_milliseconds>
any_end_of(long long seconds, std::string_view command, const store& keys, replies& to);

} // namespace redis
