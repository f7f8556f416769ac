#include "expiry.hpp"

#include "commands.hpp"
#include "integers.hpp"

#include <limits>
#include <string>

namespace redis {

namespace {

constexpr long long most = std::numeric_limits<long long>::max();

void refuse_end(std::string_view command, replies& to) {
    to.error("ERR invalid expire time in '" + std::string(command) + "' command");
}

} // namespace

std::optional<end_option> end_option::named(std::string_view word) {
    if (is_word(word, "ex")) return end_option{.in_seconds = true, .from_now = true};
    if (is_word(word, "px")) return end_option{.in_seconds = false, .from_now = true};
    if (is_word(word, "exat")) return end_option{.in_seconds = true, .from_now = false};
    if (is_word(word, "pxat")) return end_option{.in_seconds = false, .from_now = false};
    return std::nullopt;
}

std::optional<unix_milliseconds>
end_of(const end_option& said, std::string_view command, const store& keys, replies& to) {
    const auto value = parse_integer(said.value);
    if (!value) {
        to.error(no_integer);
        return std::nullopt;
    }
    const long long unit = said.in_seconds ? 1000 : 1;
    const long long from = said.from_now ? keys.now() : 0;
    if (*value <= 0 || *value > most / unit || *value * unit > most - from) {
        refuse_end(command, to);
        return std::nullopt;
    }
    return from + *value * unit;
}

std::optional<unix_milliseconds>
any_end_of(long long seconds, std::string_view command, const store& keys, replies& to) {
    const long long from = keys.now();
    if (seconds > most / 1000 || seconds < -most / 1000 || seconds * 1000 > most - from) {
        refuse_end(command, to);
        return std::nullopt;
    }
    return from + seconds * 1000;
}

} // namespace redis
