#include <chainring/sim/failure_lines.hpp>
#include <chainring/sim/log_file.hpp>
#include <chainring/sim/real_calls.hpp>
#include <chainring/sim/seeds.hpp>

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace chainring::sim {

namespace {

std::optional<std::uint64_t> number_in(const char* variable) {
    const char* const given = std::getenv(variable);
    if (given == nullptr) return std::nullopt;
    std::uint64_t number = 0;
    const char* const end = given + std::strlen(given);
    const auto [read, error] = std::from_chars(given, end, number);
    if (error != std::errc() || read != end)
        throw std::invalid_argument(std::string(variable) + " is not a number: \"" + given + '"');
    return number;
}

struct wanted_worlds {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    bool twice = false;
    bool first_twice = false;
};

wanted_worlds wanted(std::uint64_t count, bool twice) {
    wanted_worlds found;
    const std::optional<std::uint64_t> only = number_in("CHAINRING_SIM_SEED");
    found.first = only ? *only : number_in("CHAINRING_SIM_FIRST").value_or(0);
    found.count = only ? 1 : number_in("CHAINRING_SIM_SEEDS").value_or(count);
    if (found.count == 0) throw std::invalid_argument("no world is to run: the number of seeds is 0");
    found.twice = twice || number_in("CHAINRING_SIM_TWICE").value_or(0) != 0;
    // Who replays one world wants to see it once.
    found.first_twice = found.count > 1;
    return found;
}

// Of a seed, or of a log.
world made(std::uint64_t seed, const seed_options& options) {
    std::optional<std::vector<std::uint32_t>> replay = wanted_replay();
    if (!replay) return options.given ? world(seed, options.given(seed)) : world(seed);
    return options.given ? world::replaying(seed, options.given(seed), std::move(*replay))
                         : world::replaying(seed, std::move(*replay));
}

void run_in(world& within, const world_body& body) {
    const wanted_log log(within);
    const running_world failing_here(within);
    const no_real_calls guarded(within); // before its first machine too
    body(within);
}

// Tells what fails in this process before it ends of it.
class fatal_signals {
  public:
    fatal_signals() {
        struct sigaction mine{};
        mine.sa_handler = tell;
        mine.sa_flags = static_cast<int>(SA_RESETHAND);
        for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
            struct sigaction before{};
            ::sigaction(signal, nullptr, &before);
            // A sanitizer has more to say.
            if (before.sa_handler == SIG_DFL) ::sigaction(signal, &mine, nullptr);
        }
    }

  private:
    static void tell(int signal) {
        tell_how_to_repeat();
        // No core file: the failure can be had again.
        if (signal == SIGABRT) ::_exit(1);
        ::raise(signal);
    }
};

} // namespace

std::uint64_t each_seed(std::uint64_t count, const world_body& body, const seed_options& options) {
    const wanted_worlds worlds = wanted(count, options.twice);
    for (std::uint64_t number = 0; number < worlds.count; ++number) {
        const std::uint64_t seed = worlds.first + number;
        const bool twice = worlds.twice || (worlds.first_twice && number == 0);
        world first = made(seed, options);
        if (twice) first.record();
        run_in(first, body);
        if (twice && !a_world_has_failed()) {
            world second = made(seed, options);
            second.expect(first);
            run_in(second, [&body](world& within) {
                body(within);
                if (!a_world_has_failed()) within.check_all_expected_came();
            });
        }
        if (a_world_has_failed()) return number + 1;
    }
    return worlds.count;
}

int run_seeds(std::uint64_t count, const world_body& body, const seed_options& options) {
    const auto checked = [&body](world& within) {
        std::string why;
        try {
            return body(within);
        } catch (const std::exception& thrown) {
            why = thrown.what();
        } catch (...) {
            why = "the test has thrown what is no std::exception";
        }
        within.report(why);
        tell_how_to_repeat();
    };
    try {
        test_begins();
        const fatal_signals told;
        const std::uint64_t worlds = each_seed(count, checked, options);
        if (a_world_has_failed()) return 1;
        std::printf("simulated worlds: %llu, none has failed\n", static_cast<unsigned long long>(worlds));
        return 0;
    } catch (const std::exception& wrong) {
        std::fprintf(stderr, "chainring: simulation: %s\n", wrong.what());
        return 1;
    }
}

} // namespace chainring::sim
