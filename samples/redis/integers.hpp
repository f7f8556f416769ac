// Integers as Redis reads them: a sign only where it is a minus, no zeros in front, no blanks.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace redis {

inline std::optional<long long> parse_integer(std::string_view text) {
    const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
    const bool canonical = !digits.empty() && (digits.front() != '0' || text.size() == 1);
    if (!canonical) return std::nullopt;
    long long value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

} // namespace redis
