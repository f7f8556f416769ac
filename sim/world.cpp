#include <chainring/sim/world.hpp>

#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <ostream>

namespace chainring::sim {

namespace {

constexpr std::uint64_t most_enters = 5'000'000;

} // namespace

world::world(std::uint64_t seed)
    : world(seed, faults{}) {
    faults_ = faults::drawn(*this);
}

world::world(std::uint64_t seed, const faults& given)
    : seed_(seed)
    , state_(seed)
    , hash_(0xcbf29ce484222325)
    , faults_(given) {}

// splitmix64: small, the same everywhere, and good from any seed.
std::uint64_t world::next() noexcept {
    std::uint64_t value = state_ += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

void world::mix(std::uint64_t value) noexcept {
    hash_ = (hash_ ^ value) * 0x100000001b3;
    hash_ ^= hash_ >> 29;
}

std::uint32_t world::choose(std::uint32_t alternatives, const char* what) {
    assert(alternatives > 0);
    if (alternatives == 1) return 0;
    const auto chosen = static_cast<std::uint32_t>(((next() >> 32) * alternatives) >> 32);
    ++decisions_;
    mix(alternatives);
    mix(chosen);
    if (log_ != nullptr)
        *log_ << decisions_ << ": " << what << ", " << chosen << " of " << alternatives << '\n';
    return chosen;
}

void world::completed(const io_uring_cqe& cqe) {
    ++completions_;
    mix(cqe.user_data);
    mix(static_cast<std::uint32_t>(cqe.res));
    mix(cqe.flags);
    if (log_ != nullptr)
        *log_ << "   completion of " << std::hex << cqe.user_data << std::dec << ": " << cqe.res << ", flags "
              << cqe.flags << '\n';
}

void world::entered() {
    if (++enters_ == most_enters) fail("no end in sight");
}

void world::pass(duration time) {
    now_ += time;
    mix(static_cast<std::uint64_t>(time.count()));
    if (log_ != nullptr) *log_ << "   " << time.count() << " ns pass\n";
}

void world::fail(const std::string& why) const {
    std::fprintf(
        stderr, "chainring: simulation with seed %llu (%s), after %llu decisions: %s\n",
        static_cast<unsigned long long>(seed_), faults_.to_string().c_str(),
        static_cast<unsigned long long>(decisions_), why.c_str());
    std::abort();
}

} // namespace chainring::sim
