// A simulated world: a seed, the choices that follow from it, and virtual time.
//
//     sim::world world(42);
//     sim::simulated_kernel kernel(world);
//     executor home({}, kernel);
//     home.run(serve());
//
// Every choice that Linux might make one way or another is drawn here, as a numbered decision, from one generator.
// So a run is repeated by its seed; the hash over all decisions and completions tells whether it really was.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/sim/faults.hpp>

#include <cstdint>
#include <iosfwd>
#include <string>

namespace chainring::sim {

class world {
  public:
    // With a random subset of faults, drawn from the seed.
    explicit world(std::uint64_t seed);
    world(std::uint64_t seed, const faults& given);
    world(const world&) = delete;
    world& operator=(const world&) = delete;

    std::uint64_t seed() const noexcept { return seed_; }
    const faults& knobs() const noexcept { return faults_; }

    // The next decision: a number below `alternatives`, which is 1 at least. One alternative is no decision.
    std::uint32_t choose(std::uint32_t alternatives, const char* what);
    // True in `thousandths` of a thousand cases.
    bool chance(unsigned thousandths, const char* what) {
        return thousandths != 0 && choose(1000, what) < thousandths;
    }

    // For the hash: what a ring has told its user.
    void completed(const io_uring_cqe& cqe);

    // An executor enters its kernel. A program that has not ended after very many of them goes round in a circle.
    void entered();

    // Time passes only when the executor sleeps.
    time_point now() const noexcept { return now_; }
    void pass(duration time);

    std::uint64_t hash() const noexcept { return hash_; }
    std::uint64_t decisions() const noexcept { return decisions_; }
    std::uint64_t completions() const noexcept { return completions_; }

    // Every decision and completion is written there, a line each. nullptr: to nowhere.
    void log_to(std::ostream* log) noexcept { log_ = log; }

    // The program under simulation has asked for what the simulation lacks, or can never go on: says so, with the
    // seed, and aborts.
    [[noreturn]] void fail(const std::string& why) const;

  private:
    std::uint64_t next() noexcept;
    void mix(std::uint64_t value) noexcept;

    std::uint64_t seed_;
    std::uint64_t state_;
    std::uint64_t hash_;
    std::uint64_t decisions_ = 0;
    std::uint64_t completions_ = 0;
    std::uint64_t enters_ = 0;
    // Not on a tick, so that rounding shows.
    time_point now_{std::chrono::seconds(1000) + std::chrono::nanoseconds(12'345)};
    std::ostream* log_ = nullptr;
    faults faults_;
};

} // namespace chainring::sim
