#include "inline_words.hpp"

#include <optional>

namespace redis {

namespace {

bool is_blank(char each) {
    return each == ' ' || (each >= '\t' && each <= '\r');
}

std::optional<unsigned> hex_digit(char each) {
    if (each >= '0' && each <= '9') return each - '0';
    if (each >= 'a' && each <= 'f') return each - 'a' + 10;
    if (each >= 'A' && each <= 'F') return each - 'A' + 10;
    return std::nullopt;
}

char escaped(char each) {
    switch (each) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return each;
    }
}

// Reads on in `rest`, which begins behind the opening quote.
bool read_quoted(std::string_view& rest, std::string& word, char quote) {
    while (!rest.empty()) {
        const char each = rest.front();
        rest.remove_prefix(1);
        if (each == quote) return rest.empty() || is_blank(rest.front());
        if (each != '\\' || rest.empty() || (quote == '\'' && rest.front() != '\'')) {
            word += each;
            continue;
        }
        const auto high = rest.size() >= 3 ? hex_digit(rest[1]) : std::nullopt;
        const auto low = rest.size() >= 3 ? hex_digit(rest[2]) : std::nullopt;
        if (quote == '"' && rest.front() == 'x' && high && low) {
            word += static_cast<char>(*high * 16 + *low);
            rest.remove_prefix(3);
        } else {
            word += quote == '"' ? escaped(rest.front()) : rest.front();
            rest.remove_prefix(1);
        }
    }
    return false;
}

bool ends_word(char each) {
    return each == ' ' || each == '\n' || each == '\r' || each == '\t';
}

} // namespace

bool split_words(std::string_view line, std::vector<std::string>& words) {
    std::string_view rest = line.substr(0, line.find('\0'));
    for (;;) {
        while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
        if (rest.empty()) return true;
        std::string& word = words.emplace_back();
        while (!rest.empty() && !ends_word(rest.front())) {
            const char each = rest.front();
            rest.remove_prefix(1);
            if (each != '"' && each != '\'') {
                word += each;
                continue;
            }
            if (!read_quoted(rest, word, each)) return false;
            break; // a blank follows
        }
    }
}

} // namespace redis
