#include "request_parser.hpp"

#include "inline_words.hpp"
#include "integers.hpp"

#include <algorithm>

namespace redis {

namespace {

constexpr std::size_t arguments_to_keep_room_for = 1024;

// Numbers and arguments one behind the other, as nearly all clients send them. What is not like that it leaves alone.
class quick_reader {
  public:
    explicit quick_reader(std::string_view from)
        : at_(from.data())
        , end_(from.data() + from.size()) {}

    std::size_t left() const { return static_cast<std::size_t>(end_ - at_); } // bytes

    // A line of a sign and a few digits, which do not begin with a zero that could be left out.
    bool number(char sign, std::size_t& value) {
        constexpr std::size_t shortest = 4; // with its end
        constexpr int most_digits = 8;
        if (left() < shortest || *at_ != sign) return false;
        const char* at = at_ + 1;
        std::size_t read = digit(*at++);
        if (read > 9) return false;
        if (read != 0) {
            const char* const last = end_ - at > most_digits + 1 ? at + most_digits - 1 : end_ - 2;
            for (std::size_t next = 0; at < last && (next = digit(*at)) <= 9; ++at) read = read * 10 + next;
        }
        if (*at != '\r') return false;
        at_ = at + 2;
        value = read;
        return true;
    }
    // Of an argument; its end behind it is taken too.
    std::string_view text(std::size_t size) {
        const std::string_view found(at_, size);
        at_ += size + 2;
        return found;
    }

  private:
    // Above 9: it is none.
    static std::size_t digit(char shown) {
        return static_cast<std::size_t>(static_cast<unsigned char>(shown)) - '0';
    }

    const char* at_;
    const char* end_;
};

} // namespace

parsed request_parser::next(std::string_view received) {
    taken_ = 0;
    if (position_ == 0) begin_anew();
    while (taken_ < received.size()) {
        const std::string_view command = received.substr(taken_);
        switch (position_ == 0 && take_whole(command) ? step::done : parse(command)) {
        case step::incomplete: return parsed::incomplete;
        case step::malformed: return parsed::malformed;
        case step::done: break;
        }
        taken_ += position_;
        position_ = 0;
        if (!arguments_.empty()) return parsed::command;
        begin_anew(); // an empty one
    }
    return parsed::incomplete;
}

void request_parser::begin_anew() {
    missing_ = bytes_ = 0;
    counted_ = measured_ = inline_ = false;
    arguments_.clear();
    earlier_.clear();
    words_.clear();
    if (arguments_.capacity() > arguments_to_keep_room_for) {
        arguments_.shrink_to_fit();
        earlier_.shrink_to_fit();
    }
}

bool request_parser::take_whole(std::string_view received) {
    quick_reader from(received);
    std::size_t count = 0;
    std::size_t bytes = 0;
    if (!from.number('*', count) || count > limits_.count) return false;
    for (; count != 0; --count) {
        std::size_t length = 0;
        if (!from.number('$', length) || length > limits_.argument_bytes - bytes ||
            from.left() < length + 2) {
            arguments_.clear();
            return false;
        }
        bytes += length;
        arguments_.push_back(from.text(length));
    }
    position_ = received.size() - from.left();
    return true;
}

request_parser::step request_parser::parse(std::string_view command) {
    return command.front() == '*' ? parse_array(command) : parse_line(command);
}

request_parser::step request_parser::parse_array(std::string_view command) {
    const step ended = parse_arguments(command);
    if (ended == step::done && earlier_.empty()) return ended;
    remember_arguments(command);
    if (ended == step::done)
        for (const piece& each : earlier_) arguments_.push_back(command.substr(each.at, each.size));
    return ended;
}

// With more of the command it may lie elsewhere.
void request_parser::remember_arguments(std::string_view command) {
    for (const std::string_view each : arguments_)
        earlier_.push_back({static_cast<std::size_t>(each.data() - command.data()), each.size()});
    arguments_.clear();
}

request_parser::step request_parser::parse_arguments(std::string_view command) {
    if (!counted_)
        if (const step counting = parse_count(command); counting != step::done) return counting;
    while (missing_ != 0) {
        if (!measured_)
            if (const step measuring = parse_length(command); measuring != step::done) return measuring;
        if (command.size() - position_ < length_ + 2) return step::incomplete;
        arguments_.push_back(command.substr(position_, length_));
        position_ += length_ + 2; // of its end Redis does not ask what it is
        measured_ = false;
        --missing_;
    }
    return step::done;
}

request_parser::step request_parser::parse_count(std::string_view command) {
    std::string_view found;
    const step reading = line(command, "too big mbulk count string", found);
    if (reading != step::done) return reading;
    const auto count = parse_integer(found.substr(1));
    if (!count) return refuse("invalid multibulk length");
    missing_ = static_cast<std::size_t>(std::max(*count, 0LL));
    if (missing_ > limits_.count) return refuse("invalid multibulk length");
    counted_ = true;
    return step::done;
}

request_parser::step request_parser::parse_length(std::string_view command) {
    std::string_view found;
    const step reading = line(command, "too big bulk count string", found);
    if (reading != step::done) return reading;
    if (!found.starts_with('$')) return refuse_kind(found);
    const auto length = parse_integer(found.substr(1));
    if (!length || *length < 0) return refuse("invalid bulk length");
    length_ = static_cast<std::size_t>(*length);
    if (length_ > limits_.argument_bytes - bytes_) return refuse("invalid bulk length");
    bytes_ += length_;
    measured_ = true;
    return step::done;
}

request_parser::step request_parser::refuse_kind(std::string_view line) {
    std::string complaint = "expected '$', got '";
    // Redis's text has no line ends; the line's end is what is there if the line is empty. For a zero it has none: its search for
    // the line's end stops there, and it waits until the line is too long.
    const char instead = line.empty() ? '\r' : line.front();
    if (instead == '\0') return refuse(std::move(complaint));
    complaint += instead == '\r' || instead == '\n' ? ' ' : instead;
    return refuse(complaint + '\'');
}

request_parser::step request_parser::parse_line(std::string_view command) {
    const std::string_view searched = command.substr(0, limits_.line + 1);
    const std::size_t end = searched.find('\n', position_);
    if (end == std::string_view::npos) {
        if (searched.size() > limits_.line) return refuse("too big inline request");
        position_ = searched.size();
        return step::incomplete;
    }
    std::string_view text = command.substr(0, end);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (!split_words(text, words_)) return refuse("unbalanced quotes in request");
    for (const std::string& word : words_) arguments_.push_back(word);
    inline_ = true;
    position_ = end + 1;
    return step::done;
}

request_parser::step
request_parser::line(std::string_view command, const char* too_long, std::string_view& found) {
    const std::string_view searched = command.substr(position_, limits_.line + 1);
    const std::size_t end = searched.find('\r');
    if (end == std::string_view::npos && searched.size() > limits_.line) return refuse(too_long);
    if (end == std::string_view::npos || command.size() - position_ < end + 2) return step::incomplete;
    found = searched.substr(0, end);
    position_ += end + 2;
    return step::done;
}

request_parser::step request_parser::refuse(std::string complaint) {
    complaint_ = "Protocol error: " + std::move(complaint);
    return step::malformed;
}

} // namespace redis
