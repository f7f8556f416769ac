// request_parser: takes the commands of a client out of the bytes that came from it. A command is an array of bulk strings
// (RESP2), or a line of words as somebody types them.
//
//     while (parser.next(received) == redis::parsed::command) {
//         answer(parser.found());
//         received.remove_prefix(parser.taken());
//     }
//
// It keeps no bytes: of a command of which a part is missing it remembers how far it has come, and is shown the same bytes again
// with more behind them, wherever they are then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace redis {

using arguments = std::span<const std::string_view>; // the first one is the command's name

struct request_limits {
    std::size_t line = std::size_t{64} << 10;           // bytes of an inline command, and of a length
    std::size_t count = std::size_t{1} << 20;           // of the arguments of a command
    std::size_t argument_bytes = std::size_t{64} << 20; // of all arguments of a command together
};

enum class parsed : std::uint8_t {
    command,
    incomplete, // the rest is yet to come
    malformed,  // `complaint` says what is wrong; what follows has no meaning
};

class request_parser {
  public:
    explicit request_parser(const request_limits& limits = {})
        : limits_(limits) {}

    // `received`: all that came behind the commands that were taken.
    parsed next(std::string_view received);

    // Bytes of `received` that are done with: those of the command, and of empty ones before it, which have no answer.
    std::size_t taken() const { return taken_; }
    // Of the command. They lie in `received`, or are the parser's own until the next call.
    arguments found() const { return arguments_; }
    // The command's arguments lie in the parser: it was a line.
    bool was_inline() const { return inline_; }
    const std::string& complaint() const { return complaint_; }

  private:
    struct piece { // of the command, from its first byte on
        std::size_t at;
        std::size_t size;
    };
    enum class step : std::uint8_t { done, incomplete, malformed };

    // A command that is whole and written as nearly all are, without a look at each step of it. False: it is to be read with more care,
    // from its first byte on.
    bool take_whole(std::string_view received);
    step parse(std::string_view command);
    step parse_array(std::string_view command);
    step parse_arguments(std::string_view command);
    step parse_count(std::string_view command);
    step parse_length(std::string_view command);
    step parse_line(std::string_view command);
    // A line from `position_` on, without its end; nothing yet: `incomplete`.
    step line(std::string_view command, const char* too_long, std::string_view& found);
    step refuse(std::string complaint);
    step refuse_kind(std::string_view line); // of an argument
    void remember_arguments(std::string_view command);
    void begin_anew();

    request_limits limits_;
    std::size_t taken_ = 0;
    std::vector<std::string_view>
        arguments_; // that are complete; of a command that is not, those of this call
    std::string complaint_;

    // Of the command at the beginning of what was received.
    std::size_t position_ = 0; // bytes that need not be looked at again
    std::size_t missing_ = 0;  // arguments that are still to come
    std::size_t bytes_ = 0;    // of the arguments by now
    std::size_t length_ = 0;   // of the argument that comes next
    bool counted_ = false;     // `missing_` is known
    bool measured_ = false;    // `length_` is known
    bool inline_ = false;
    std::vector<piece> earlier_;     // arguments, of earlier calls
    std::vector<std::string> words_; // of a line
};

} // namespace redis
