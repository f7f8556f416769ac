// A simulated world: a seed, the choices that follow from it, and virtual time.
//
//     sim::world world(42);
//     sim::simulated_kernel kernel(world);
//     executor home({}, kernel);
//     home.run(serve());
//
// Every choice that Linux might make one way or another is drawn here, as a numbered decision, from one generator.
// So a run is repeated by its seed; the hash over all decisions, completions and resumptions tells whether it really was. It is
// repeated by the log of its decisions too, which can be shortened: the first alternative is always the harmless one.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/sim/decision_log.hpp>
#include <chainring/sim/faults.hpp>
#include <chainring/sim/resumption.hpp>

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

namespace chainring::sim {

class explanation;

class world {
  public:
    // With a random subset of faults, drawn from the seed.
    explicit world(std::uint64_t seed);
    world(std::uint64_t seed, const faults& given);
    // Chooses what a log says, and beyond its end the first alternative each time. The seed is only its name. A world of
    // given faults is given them again.
    static world replaying(std::uint64_t seed, std::vector<std::uint32_t> choices);
    static world replaying(std::uint64_t seed, const faults& given, std::vector<std::uint32_t> choices);
    world(const world&) = delete;
    world& operator=(const world&) = delete;

    std::uint64_t seed() const noexcept { return seed_; }
    const faults& knobs() const noexcept { return faults_; }

    // The next decision: a number below `alternatives`, which is 1 at least. One alternative is no decision.
    std::uint32_t choose(std::uint32_t alternatives, const char* what) {
        return decide(alternatives, what, false);
    }
    // True in `thousandths` of a thousand cases, the last ones. Never and always are no decisions.
    bool chance(unsigned thousandths, const char* what) {
        if (thousandths == 0 || thousandths >= 1000) return thousandths != 0;
        return decide(1000, what, true) + thousandths >= 1000;
    }
    // From here on a fault occurs that often, in thousandths.
    void set(unsigned faults::* fault, unsigned thousandths) noexcept { faults_.*fault = thousandths; }
    // From here on these occur, and no others.
    void set(const faults& from_now_on) noexcept { faults_ = from_now_on; }
    // From here on nothing goes wrong: no fault of its knobs occurs any more.
    void heal();
    unsigned heals() const noexcept { return heals_; } // so far

    // For the hash: what a ring has told its user, and which coroutine an executor resumes.
    void completed(const io_uring_cqe& cqe);
    void resumes(const resumption& next);

    // An executor enters its kernel.
    void entered();
    // Called at the beginning of each enter: for what must hold in every turn.
    void at_each_enter(std::function<void()> check) { at_each_enter_ = std::move(check); }

    // Time passes only when the executor sleeps.
    time_point now() const noexcept { return now_; }
    void pass(duration time);
    // Virtual times are so late that no real clock has come there.
    static bool is_real(time_point at) noexcept { return at < beginning - std::chrono::years(50); }

    std::uint64_t hash() const noexcept { return hash_; }
    std::uint64_t decisions() const noexcept { return decisions_; }
    std::uint64_t completions() const noexcept { return completions_; }

    // Every decision and completion is written there, a line each, and at once: first the decisions that were made
    // already, for the knobs. nullptr: to nowhere.
    void log_to(std::ostream* log);
    // A line of the log that decides nothing: what the program or the test has done, for who reads it.
    void remark(const std::string& what);
    // Every decision and resumption is kept, to be compared with those of another run. Before the program begins.
    void record() noexcept { recording_ = true; }
    const std::vector<decision>& recorded() const noexcept { return recorded_; }
    // The run must make the decisions that were recorded there and no others, and resume the same coroutines: the first one that
    // differs is a failure, and means that the program is not repeatable.
    void expect(const world& earlier);
    bool is_second() const noexcept { return expecting_; } // run of a world
    // It has ended: all that was expected must have come.
    void check_all_expected_came();

    // Of an executor's sizes, for what a failure says of the configuration.
    void configured(std::string sizes) { configured_.push_back(std::move(sizes)); }
    // After so many enters of executors the program counts as one that goes round in a circle.
    void allow_enters(std::uint64_t most) noexcept { most_enters_ = most; }

    // The program under simulation has asked for what the simulation lacks, or can never go on: says so, with the
    // seed, and aborts.
    [[noreturn]] void fail(const std::string& why);
    // Says the same, and goes on.
    void report(const std::string& why);
    bool has_reported() const noexcept { return reported_; }
    // The seed, the knobs, the sizes of the executors, and how many decisions there were.
    std::string configuration() const;

  private:
    friend explanation;
    struct replay {};
    // given == nullptr: the choices begin with those of the faults.
    world(replay, std::uint64_t seed, const faults* given, std::vector<std::uint32_t> choices);

    std::uint32_t decide(std::uint32_t alternatives, const char* what, bool is_chance);
    void draw_knobs();
    std::uint64_t next() noexcept;
    std::uint32_t next_choice(std::uint32_t alternatives) noexcept;
    void decided(const decision& made);
    [[noreturn]] void report_difference(const std::string& now);
    [[noreturn]] void report_difference(const resumption& now);
    void mix(std::uint64_t value) noexcept;

    std::uint64_t seed_;
    std::uint64_t state_;
    std::uint64_t hash_;
    std::uint64_t decisions_ = 0;
    std::uint64_t completions_ = 0;
    std::uint64_t enters_ = 0;
    std::uint64_t most_enters_ = 5'000'000;
    // Not on a tick, so that rounding shows.
    static constexpr time_point beginning{std::chrono::years(100) + std::chrono::nanoseconds(12'345)};

    time_point now_ = beginning;
    std::ostream* log_ = nullptr;
    std::function<void()> at_each_enter_;
    std::vector<const explanation*> explanations_;
    bool reported_ = false;
    std::vector<std::string> configured_;
    bool replaying_ = false;
    std::vector<std::uint32_t> choices_; // of a replay
    bool recording_ = false;
    std::vector<decision> recorded_;
    std::vector<resumption> recorded_resumptions_;
    bool expecting_ = false;
    std::vector<decision> expected_;
    std::vector<resumption> expected_resumptions_;
    std::uint64_t resumptions_ = 0;
    std::uint64_t expected_hash_ = 0; // in the end
    faults faults_;
    unsigned heals_ = 0;
    std::string before_heal_; // which faults there were
};

// While it lives, it adds to what a failure says, such as executor::dump: what the program was waiting for.
class explanation {
  public:
    explanation(world& of, std::function<void(std::ostream&)> explain);
    ~explanation();
    explanation(const explanation&) = delete;
    explanation& operator=(const explanation&) = delete;

  private:
    friend world;
    world& world_;
    std::function<void(std::ostream&)> explain_;
};

} // namespace chainring::sim
