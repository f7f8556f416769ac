#include "command_line.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace {

enum class weather { fair, foul };

struct settings {
    std::string place = "harbour";
    std::string rig = "sloop";
    unsigned crew = 2;
    std::size_t load = 10;
    double hours = 1;
    double delay = 0;
    weather expected = weather::fair;
    bool night = false;
};

std::optional<int> parse(settings& set, std::vector<std::string> words) {
    command_line arguments("a voyage");
    arguments.option("--place", set.place, "where to");
    arguments.option("--rig", set.rig, "kind of boat").one_of({"sloop", "ketch"});
    arguments.option("--crew", set.crew, "people").between(1, 8);
    arguments.option("--load", set.load, "kilograms").between(0, 5'000'000'000);
    arguments.option("--hours", set.hours, "at sea").between(0.1, 24);
    arguments.option("--delay", set.delay, "hours before them").between(0, 12);
    arguments.option(
        "--weather", set.expected, "what to expect", {{"fair", weather::fair}, {"foul", weather::foul}});
    arguments.flag("--night", set.night, "sail at night");

    words.insert(words.begin(), "program");
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    return arguments.parse(static_cast<int>(words.size()), pointers.data());
}

} // namespace

TEST_CASE("variables_keep_their_defaults_without_arguments") {
    settings set;
    CHECK_FALSE(parse(set, {}));
    CHECK(set.place == "harbour");
    CHECK(set.rig == "sloop");
    CHECK(set.crew == 2);
    CHECK(set.load == 10);
    CHECK(set.hours == 1);
    CHECK(set.delay == 0);
    CHECK(set.expected == weather::fair);
    CHECK_FALSE(set.night);
}

TEST_CASE("each_option_sets_its_variable") {
    settings set;
    CHECK_FALSE(parse(
        set, {"--place", "island", "--rig=ketch", "--crew", "8", "--load", "5000000000", "--hours", "0.5",
              "--delay", "0", "--weather", "foul", "--night"}));
    CHECK(set.place == "island");
    CHECK(set.rig == "ketch");
    CHECK(set.crew == 8);
    CHECK(set.load == 5'000'000'000);
    CHECK(set.hours == 0.5);
    CHECK(set.delay == 0);
    CHECK(set.expected == weather::foul);
    CHECK(set.night);
}

TEST_CASE("an_enumeration_takes_numbers_as_well_as_words") {
    settings set;
    CHECK_FALSE(parse(set, {"--weather", "1"}));
    CHECK(set.expected == weather::foul);
}

TEST_CASE("bad_arguments_end_the_program_with_1") {
    const char* argument = GENERATE(
        "--rig=raft", "--crew=0", "--crew=9", "--crew=-1", "--crew=two", "--load=5000000001", "--hours=0",
        "--hours=nan", "--delay=-1", "--weather=fine", "--weather=2", "--night=perhaps", "--place",
        "--unknown", "extra");
    CAPTURE(argument);
    settings set;
    CHECK(parse(set, {argument}) == 1);
}

TEST_CASE("asking_for_help_ends_the_program_with_0") {
    settings set;
    CHECK(parse(set, {"--help"}) == 0);
}
