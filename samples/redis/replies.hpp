// replies: what a client is answered, one reply behind the other, as RESP2 has it.
#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace redis {

class replies {
  public:
    void ok() { text_ += "+OK\r\n"; }
    void simple(std::string_view text) { line('+', text); }
    // `text` begins with its kind, in most cases ERR. It must have no line ends.
    void error(std::string_view text) { line('-', text); }
    void integer(long long value) { number(':', value); }
    void bulk(std::string_view bytes) {
        number('$', static_cast<long long>(bytes.size()));
        text_.append(bytes).append("\r\n");
    }
    void nothing() { text_ += "$-1\r\n"; }
    // As many replies follow as belong to it.
    void array(std::size_t count) { number('*', static_cast<long long>(count)); }
    // That were written before.
    void append(std::string_view written) { text_ += written; }

    const std::string& text() const { return text_; }
    std::string take() { return std::exchange(text_, {}); }
    std::size_t size() const { return text_.size(); } // in bytes
    bool empty() const { return text_.empty(); }
    void clear() {
        text_.clear();
        if (text_.capacity() > room_worth_keeping) text_.shrink_to_fit();
    }

  private:
    static constexpr std::size_t room_worth_keeping = std::size_t{256} << 10; // bytes

    void line(char kind, std::string_view text) {
        text_ += kind;
        text_.append(text).append("\r\n");
    }
    void number(char kind, long long value) {
        char digits[24];
        digits[0] = kind;
        char* end = std::to_chars(digits + 1, digits + sizeof digits - 2, value).ptr;
        *end++ = '\r';
        *end++ = '\n';
        text_.append(digits, end);
    }

    std::string text_;
};

} // namespace redis
