#include "command_line.hpp"

#include "standard_output.hpp"

#include <CLI/CLI.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

template <class Value>
option_of<Value> add(CLI::App& parser, const char* name, Value& variable, const char* meaning) {
    return option_of<Value>(*parser.add_option(name, variable, meaning)->capture_default_str());
}

} // namespace

template <class Value>
void option_of<Value>::one_of(std::initializer_list<const char*> words)
    requires std::same_as<Value, std::string>
{
    option_.check(CLI::IsMember(std::vector<std::string>(words.begin(), words.end())));
}

template <class Value>
void option_of<Value>::between(Value least, Value most)
    requires std::is_arithmetic_v<Value>
{
    option_.check(CLI::Range(least, most));
    if constexpr (std::is_floating_point_v<Value>) { // no comparison refuses "nan"
        option_.check([](const std::string& text) {
            return std::isnan(std::strtod(text.c_str(), nullptr)) ? text + " is no number" : std::string();
        });
    }
}

template class option_of<std::string>;
template class option_of<unsigned>;
template class option_of<std::size_t>;
template class option_of<double>;

command_line::command_line(const char* purpose)
    : parser_(std::make_unique<CLI::App>(purpose)) {}

command_line::~command_line() = default;

option_of<std::string> command_line::option(const char* name, std::string& variable, const char* meaning) {
    return add(*parser_, name, variable, meaning);
}

option_of<unsigned> command_line::option(const char* name, unsigned& variable, const char* meaning) {
    return add(*parser_, name, variable, meaning);
}

option_of<std::size_t> command_line::option(const char* name, std::size_t& variable, const char* meaning) {
    return add(*parser_, name, variable, meaning);
}

option_of<double> command_line::option(const char* name, double& variable, const char* meaning) {
    return add(*parser_, name, variable, meaning);
}

void command_line::add_choice(
    const char* name, const char* meaning, const std::vector<std::pair<std::string, int>>& numbers,
    std::function<void(int)> assign) {
    parser_->add_option_function<int>(name, std::move(assign), meaning)
        ->type_name("ENUM")
        ->transform(CLI::CheckedTransformer(numbers));
}

void command_line::flag(const char* name, bool& variable, const char* meaning) {
    parser_->add_flag(name, variable, meaning);
}

std::optional<int> command_line::parse(int argc, char** argv) {
    try {
        parser_->parse(argc, argv);
        return std::nullopt;
    } catch (const CLI::Success& asked) { // for help
        return written_or_failed(basename(argv[0]), parser_->exit(asked));
    } catch (const CLI::ParseError& reason) {
        std::fprintf(stderr, "%s: %s\n", basename(argv[0]), reason.what());
        return 1;
    }
}
