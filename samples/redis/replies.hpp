// replies: what a client is answered, one reply behind the other, as RESP2 has it.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace redis {

class replies {
  public:
    void ok() { append("+OK\r\n"); }
    void simple(std::string_view text) { line('+', text); }
    // `text` begins with its kind, in most cases ERR. It must have no line ends.
    void error(std::string_view text) { line('-', text); }
    void integer(long long value) { number(':', value); }
    void bulk(std::string_view bytes) {
        const number_line length('$', static_cast<long long>(bytes.size()));
        put(length.text(), bytes, line_end);
    }
    void nothing() { append("$-1\r\n"); }
    // As many replies follow as belong to it.
    void array(std::size_t count) { number('*', static_cast<long long>(count)); }
    // That were written before.
    void append(std::string_view written) { put(written); }
    // Those bytes of it go behind `to`. If they are all of it, and `to` is empty, they are not copied, and nothing is left here.
    void move(std::size_t begin, std::size_t end, replies& to) {
        if (to.empty() && begin == 0 && end == text_.size())
            text_.swap(to.text_);
        else
            to.append(std::string_view(text_).substr(begin, end - begin));
    }

    const std::string& text() const { return text_; }
    std::string take() { return std::exchange(text_, {}); }
    std::size_t size() const { return text_.size(); } // in bytes
    bool empty() const { return text_.empty(); }
    void clear() {
        text_.clear();
        if (text_.capacity() > room_worth_keeping) text_.shrink_to_fit();
    }

  private:
    static constexpr std::string_view line_end = "\r\n"; // an array would be measured for each reply
    static constexpr std::size_t room_worth_keeping = std::size_t{256} << 10; // bytes

    class number_line {
      public:
        number_line(char kind, long long value) {
            bytes_[0] = kind;
            char* end = std::to_chars(bytes_ + 1, bytes_ + sizeof bytes_ - 2, value).ptr;
            *end++ = '\r';
            *end++ = '\n';
            size_ = static_cast<std::size_t>(end - bytes_);
        }
        std::string_view text() const { return {bytes_, size_}; }

      private:
        char bytes_[24];
        std::size_t size_;
    };

    void number(char kind, long long value) { put(number_line(kind, value).text()); }
    void line(char kind, std::string_view text) { put(std::string_view(&kind, 1), text, line_end); }

    // Room for all pieces is made once: most are shorter than a call of `append` is long.
    template <class... Pieces> void put(const Pieces&... given) {
        const std::size_t before = text_.size();
        const std::size_t after = (before + ... + std::string_view(given).size());
        // Not the size that it is told: GCC 12 tells how much room there is.
        text_.resize_and_overwrite(after, [&](char* begin, std::size_t) {
            char* at = begin + before;
            ((at = std::ranges::copy(std::string_view(given), at).out), ...);
            return after;
        });
    }

    std::string text_;
};

} // namespace redis
