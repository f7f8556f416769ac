// The options of a program, each bound to the variable that it sets:
//
//     command_line arguments("An echo server");
//     arguments.option("--listen", listen, "where to listen, as 127.0.0.1:7000");
//     arguments.option("--mode", mode, "what to be good at").one_of({"throughput", "latency"});
//     arguments.option("--connections", connections, "connections").between(1, 100000);
//     arguments.flag("--json", json, "print one JSON object instead of the table");
//     if (const auto status = arguments.parse(argc, argv)) return *status;
//
// CLI11 does the work. Its header would cost every program ten to twenty seconds of compile time, so
// command_line.cpp is the only source that includes it.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// NOLINTBEGIN(readability-identifier-naming): CLI11's names
namespace CLI {
class App;
class Option;
} // namespace CLI
// NOLINTEND(readability-identifier-naming)

// Restricts what an option takes: --help shows the restriction, and parsing refuses every other value.
template <class Value> class option_of {
  public:
    explicit option_of(CLI::Option& option)
        : option_(option) {}

    void one_of(std::initializer_list<const char*> words)
        requires std::same_as<Value, std::string>;

    // Both ends are allowed.
    void between(Value least, Value most)
        requires std::is_arithmetic_v<Value>;

  private:
    CLI::Option& option_;
};

// The variables must live until the arguments are parsed.
class command_line {
  public:
    explicit command_line(const char* purpose);
    ~command_line();

    // What the variable holds now is the default, and --help shows it.
    option_of<std::string> option(const char* name, std::string& variable, const char* meaning);
    option_of<unsigned> option(const char* name, unsigned& variable, const char* meaning);
    option_of<std::size_t> option(const char* name, std::size_t& variable, const char* meaning);
    option_of<double> option(const char* name, double& variable, const char* meaning);

    // Takes the word or the number of a value; --help shows both, and no default.
    template <class Enum>
        requires std::is_enum_v<Enum>
    void option(
        const char* name, Enum& variable, const char* meaning,
        std::initializer_list<std::pair<const char*, Enum>> values) {
        std::vector<std::pair<std::string, int>> numbers;
        for (const auto& [word, value] : values) numbers.emplace_back(word, static_cast<int>(value));
        add_choice(name, meaning, numbers, [&variable](int number) { variable = static_cast<Enum>(number); });
    }

    void flag(const char* name, bool& variable, const char* meaning);

    // Nothing when the variables are set and the program can go on. Otherwise the status to exit with: 0 when
    // --help was asked for and is printed, 1 when one line on standard error says what is wrong.
    [[nodiscard]] std::optional<int> parse(int argc, char** argv);

  private:
    void add_choice(
        const char* name, const char* meaning, const std::vector<std::pair<std::string, int>>& numbers,
        std::function<void(int)> assign);

    std::unique_ptr<CLI::App> parser_;
};
