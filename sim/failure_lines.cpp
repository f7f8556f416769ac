#include <chainring/sim/failure_lines.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

// Of a program with the sanitizers of GCC or Clang.
extern "C" __attribute__((weak)) void
__sanitizer_set_death_callback(void (*callback)()); // NOLINT(readability-identifier-naming)

namespace chainring::sim {

namespace {

struct failing_test {
    std::string command; // empty: not asked for yet
    std::string shrinker = "chainring-shrink";
    std::string lines; // empty: no world runs, or has just ended by an exception
    const world* runs = nullptr;
    bool told = false;
};

failing_test& test() {
    static failing_test only;
    return only;
}

// For a shell.
std::string quoted(const std::string& word) {
    std::string text = "'";
    for (const char each : word) {
        if (each == '\'')
            text += "'\\''";
        else
            text += each;
    }
    return text + '\'';
}

std::string command_with(const std::vector<std::string>& arguments) {
    std::string text = quoted(std::filesystem::read_symlink("/proc/self/exe"));
    for (const std::string& each : arguments) text += ' ' + quoted(each);
    return text;
}

// A program that calls exit(3) leaves its world in the middle.
void tell_of_exit() {
    if (!a_world_runs()) return;
    std::fputs("chainring: simulation: the process has exited within a simulated world\n", stderr);
    std::fflush(nullptr);
    tell_how_to_repeat();
    ::_exit(1);
}

std::vector<std::string> arguments_of_the_process() {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    std::vector<std::string> words;
    for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
    if (!words.empty()) words.erase(words.begin());
    return words;
}

} // namespace

running_world::running_world(const world& running)
    : exceptions_(std::uncaught_exceptions()) {
    if (test().command.empty()) test_begins();
    test().runs = &running;
    const std::string seed = std::to_string(running.seed());
    // What fails only the second time is not repeatable: there is nothing to shrink.
    std::string which = running.is_second() ? "CHAINRING_SIM_TWICE=1 " : "";
    const char* const log = std::getenv("CHAINRING_SIM_REPLAY");
    if (log != nullptr) which += "CHAINRING_SIM_REPLAY=" + quoted(log) + ' ';
    test().lines = "\nrepeat it:  " + which + "CHAINRING_SIM_SEED=" + seed + ' ' + test().command + '\n';
    if (which.empty())
        test().lines += "shrink it:  " + test().shrinker + ' ' + seed + ' ' + test().command + '\n';
}

running_world::~running_world() {
    test().runs = nullptr;
    // What ends a test by an exception is reported when the world is gone.
    if (std::uncaught_exceptions() == exceptions_) test().lines.clear();
}

void tell_how_to_repeat() noexcept {
    const std::string& lines = test().lines;
    if (lines.empty() || std::exchange(test().told, true)) return;
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, lines.data(), lines.size());
}

void tell_of_a_failed_check() {
    const world* const here = test().runs;
    if (here != nullptr && !test().told && !here->has_reported())
        std::fprintf(
            stderr, "\nchainring: simulation with %s: a check has failed\n", here->configuration().c_str());
    tell_how_to_repeat();
}

bool a_world_runs() noexcept {
    return test().runs != nullptr;
}

bool a_world_has_failed() noexcept {
    return test().told;
}

void test_begins() {
    test_begins(arguments_of_the_process());
}

void test_begins(const std::vector<std::string>& arguments) {
    // Behind the state that it reads, which so dies after it.
    [[maybe_unused]] static const int registered = (test(), std::atexit(tell_of_exit));
    // What a sanitizer finds ends the process, too.
    if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(tell_how_to_repeat);
    test().command = command_with(arguments);
    test().lines.clear();
    test().told = false;
}

void shrink_with(std::string command) {
    test().shrinker = std::move(command);
}

} // namespace chainring::sim
