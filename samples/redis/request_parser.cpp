#include "request_parser.hpp"

#include "inline_words.hpp"
#include "integers.hpp"

#include <algorithm>

namespace redis {

namespace {

constexpr std::size_t arguments_to_keep_room_for = 1024;

} // namespace

parsed request_parser::next(std::string_view received) {
    taken_ = 0;
    if (position_ == 0) begin_anew();
    while (taken_ < received.size()) {
        switch (parse(received.substr(taken_))) {
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
    pieces_.clear();
    words_.clear();
    if (arguments_.capacity() > arguments_to_keep_room_for) {
        arguments_.shrink_to_fit();
        pieces_.shrink_to_fit();
    }
}

request_parser::step request_parser::parse(std::string_view command) {
    return command.front() == '*' ? parse_array(command) : parse_line(command);
}

request_parser::step request_parser::parse_array(std::string_view command) {
    if (!counted_)
        if (const step counting = parse_count(command); counting != step::done) return counting;
    while (missing_ != 0) {
        if (!measured_)
            if (const step measuring = parse_length(command); measuring != step::done) return measuring;
        if (command.size() - position_ < length_ + 2) return step::incomplete;
        pieces_.push_back({position_, length_});
        position_ += length_ + 2; // of its end Redis does not ask what it is
        measured_ = false;
        --missing_;
    }
    for (const piece& each : pieces_) arguments_.push_back(command.substr(each.at, each.size));
    return step::done;
}

request_parser::step request_parser::parse_count(std::string_view command) {
    std::string_view found;
    const step reading = line(command, "too big mbulk count string", found);
    if (reading != step::done) return reading;
    const auto count = parse_integer(found.substr(1));
    if (!count || *count > static_cast<long long>(limits_.count)) return refuse("invalid multibulk length");
    missing_ = static_cast<std::size_t>(std::max(*count, 0LL));
    counted_ = true;
    return step::done;
}

request_parser::step request_parser::parse_length(std::string_view command) {
    std::string_view found;
    const step reading = line(command, "too big bulk count string", found);
    if (reading != step::done) return reading;
    if (!found.starts_with('$')) {
        std::string complaint = "expected '$', got '";
        // Redis's own text ends at a zero, and has no line ends. The line's end is what is there if the line is empty.
        const char instead = found.empty() ? '\r' : found.front();
        if (instead == '\0') return refuse(std::move(complaint));
        complaint += instead == '\r' || instead == '\n' ? ' ' : instead;
        return refuse(complaint + '\'');
    }
    const auto length = parse_integer(found.substr(1));
    if (!length || *length < 0 || static_cast<unsigned long long>(*length) > limits_.argument_bytes - bytes_)
        return refuse("invalid bulk length");
    length_ = static_cast<std::size_t>(*length);
    bytes_ += length_;
    measured_ = true;
    return step::done;
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
