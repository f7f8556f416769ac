#include "../../samples/redis/request_parser.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <memory>

using namespace std::literals;

namespace {

using command_words = std::vector<std::string>;

struct outcome {
    std::vector<command_words> commands;
    std::string complaint; // empty: all of it was understood
    std::size_t left = 0;  // bytes of a command of which a part is missing

    bool operator==(const outcome&) const = default;
};

// What a client has sent and the parser has not taken, each time at another place, and with nothing behind it.
class arriving {
  public:
    explicit arriving(const redis::request_limits& limits = {})
        : parser_(limits) {}

    void add(std::string_view bytes) {
        const std::string all = std::string(pending()) + std::string(bytes);
        memory_ = std::make_unique<char[]>(all.size());
        std::ranges::copy(all, memory_.get());
        size_ = all.size();
        taken_ = 0;
        while (so_far_.complaint.empty() && take_next()) {
        }
        so_far_.left = pending().size();
    }

    const outcome& so_far() const { return so_far_; }

  private:
    std::string_view pending() const { return std::string_view(memory_.get(), size_).substr(taken_); }

    bool take_next() {
        const redis::parsed found = parser_.next(pending());
        if (found == redis::parsed::command) {
            command_words words;
            for (const std::string_view word : parser_.found()) words.emplace_back(word);
            so_far_.commands.push_back(std::move(words));
        }
        if (found == redis::parsed::malformed) so_far_.complaint = parser_.complaint();
        taken_ += parser_.taken();
        return found == redis::parsed::command;
    }

    redis::request_parser parser_;
    std::unique_ptr<char[]> memory_;
    std::size_t size_ = 0;
    std::size_t taken_ = 0;
    outcome so_far_;
};

outcome all_at_once(std::string_view text, const redis::request_limits& limits = {}) {
    arriving whole(limits);
    whole.add(text);
    return whole.so_far();
}

// In two and in three parts wherever they are cut, and byte by byte.
void check_every_split(std::string_view text, const redis::request_limits& limits = {}) {
    const outcome whole = all_at_once(text, limits);
    bool same = true;
    for (std::size_t first = 0; first <= text.size(); ++first) {
        for (std::size_t second = first; second <= text.size(); ++second) {
            arriving parts(limits);
            parts.add(text.substr(0, first));
            parts.add(text.substr(first, second - first));
            parts.add(text.substr(second));
            same = same && parts.so_far().commands == whole.commands &&
                   parts.so_far().complaint == whole.complaint;
        }
    }
    CHECK(same);
    arriving bytes(limits);
    for (std::size_t at = 0; at < text.size(); ++at) bytes.add(text.substr(at, 1));
    CHECK((bytes.so_far().commands == whole.commands));
    CHECK(bytes.so_far().complaint == whole.complaint);
}

std::string complaint_about(std::string_view text, const redis::request_limits& limits = {}) {
    check_every_split(text, limits);
    return all_at_once(text, limits).complaint;
}

} // namespace

TEST_CASE("commands_are_the_same_however_the_bytes_that_bring_them_are_split") {
    constexpr auto text = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
                          "*0\r\n*-1\r\n\r\n  \r\n"
                          "SET 'a b' \"\\x41\\n\"\r\n"
                          "*1\r\n$0\r\n\r\nPING\n"
                          "*2\r\n$4\r\n\0\r\n\xff\r\n$11\r\nELEVEN-LONG\r\n"sv;
    const outcome whole = all_at_once(text);
    CHECK(
        (whole.commands ==
         std::vector<command_words>{
             {"GET", "a"}, {"SET", "a b", "A\n"}, {""}, {"PING"}, {"\0\r\n\xff"s, "ELEVEN-LONG"}}));
    CHECK(whole.complaint.empty());
    CHECK(whole.left == 0);
    check_every_split(text);
}

TEST_CASE("a_part_of_a_command_is_no_command") {
    constexpr auto text = "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n"sv;
    for (std::size_t size = 0; size < text.size(); ++size) {
        const outcome found = all_at_once(text.substr(0, size));
        CHECK(found.commands.empty());
        CHECK(found.complaint.empty());
        CHECK(found.left == size);
    }
}

TEST_CASE("what_is_malformed_is_refused_in_the_words_of_redis_wherever_it_is_split") {
    CHECK(complaint_about("*x\r\n") == "Protocol error: invalid multibulk length");
    CHECK(complaint_about("*\r\n") == "Protocol error: invalid multibulk length");
    CHECK(complaint_about("*01\r\n") == "Protocol error: invalid multibulk length");
    CHECK(complaint_about("* 1\r\n") == "Protocol error: invalid multibulk length");
    CHECK(complaint_about("*1048577\r\n") == "Protocol error: invalid multibulk length");
    CHECK(complaint_about("*99999999999999999999\r\n") == "Protocol error: invalid multibulk length");
    CHECK(complaint_about("*1\r\n$-1\r\n") == "Protocol error: invalid bulk length");
    CHECK(complaint_about("*1\r\n$+1\r\n") == "Protocol error: invalid bulk length");
    CHECK(complaint_about("*1\r\n$\r\n") == "Protocol error: invalid bulk length");
    CHECK(complaint_about("*1\r\n$00000003\r\nGET\r\n") == "Protocol error: invalid bulk length");
    CHECK(complaint_about("*1\r\n$67108865\r\n") == "Protocol error: invalid bulk length");
    CHECK(complaint_about("*1\r\n$9223372036854775808\r\n") == "Protocol error: invalid bulk length");
    CHECK(complaint_about("*1\r\n:3\r\nGET\r\n") == "Protocol error: expected '$', got ':'");
    CHECK(complaint_about("*1\r\n\r\n") == "Protocol error: expected '$', got ' '");
    CHECK(complaint_about("SET \"a\r\n") == "Protocol error: unbalanced quotes in request");
    CHECK(complaint_about("SET 'a'b\r\n") == "Protocol error: unbalanced quotes in request");
}

TEST_CASE("what_came_before_a_malformed_command_is_understood_and_nothing_behind_it") {
    const outcome found = all_at_once("PING\r\n*1\r\n$4\r\nQUIT\r\n*1\r\n$-5\r\nPING\r\n");
    CHECK((found.commands == std::vector<command_words>{{"PING"}, {"QUIT"}}));
    CHECK(found.complaint == "Protocol error: invalid bulk length");
}

TEST_CASE("a_limit_is_what_may_still_come") {
    const redis::request_limits small{.line = 16, .count = 3, .argument_bytes = 8};
    CHECK(complaint_about("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n1234\r\n", small).empty());
    CHECK(
        complaint_about("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n12345\r\n", small) ==
        "Protocol error: invalid bulk length");
    CHECK(complaint_about("*4\r\n", small) == "Protocol error: invalid multibulk length");
    CHECK(complaint_about("PING 9876543210\n", small).empty());
    CHECK(complaint_about("PING 9876543210 and more", small) == "Protocol error: too big inline request");
    CHECK(complaint_about("*11111111111111111", small) == "Protocol error: too big mbulk count string");
    CHECK(complaint_about("*1\r\n$11111111111111111", small) == "Protocol error: too big bulk count string");
}

TEST_CASE("a_length_of_more_digits_than_usual_is_a_length") {
    const redis::request_limits large{.argument_bytes = std::size_t{1} << 40};
    CHECK(all_at_once("*1\r\n$123456789\r\nbegin", large).complaint.empty());
    CHECK(all_at_once("*1\r\n$1099511627776\r\nbegin", large).complaint.empty());
    CHECK(
        all_at_once("*1\r\n$1099511627777\r\nbegin", large).complaint ==
        "Protocol error: invalid bulk length");
}
