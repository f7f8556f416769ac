#include <chainring/sim/failure_lines.hpp>
#include <chainring/sim/real_calls.hpp>
#include <chainring/sim/world.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <utility>

namespace chainring::sim {

world::world(std::uint64_t seed)
    : world(seed, faults{}) {
    draw_knobs();
}

world::world(std::uint64_t seed, const faults& given)
    : seed_(seed)
    , state_(seed)
    , hash_(0xcbf29ce484222325)
    , faults_(given) {}

world::world(replay, std::uint64_t seed, const faults* given, std::vector<std::uint32_t> choices)
    : world(seed, given != nullptr ? *given : faults{}) {
    replaying_ = true;
    choices_ = std::move(choices);
    if (given == nullptr) draw_knobs();
}

void world::draw_knobs() {
    recording_ = true;
    faults_ = faults::drawn(*this);
    recording_ = false;
}

world world::replaying(std::uint64_t seed, std::vector<std::uint32_t> choices) {
    return {replay(), seed, nullptr, std::move(choices)};
}

world world::replaying(std::uint64_t seed, const faults& given, std::vector<std::uint32_t> choices) {
    return {replay(), seed, &given, std::move(choices)};
}

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

std::uint32_t world::decide(std::uint32_t alternatives, const char* what, bool is_chance) {
    if (alternatives == 0) fail(std::string("a choice among nothing: ") + what);
    if (alternatives == 1) return 0;
    const std::uint32_t chosen = next_choice(alternatives);
    decided({what, alternatives, chosen, hash_, is_chance});
    return chosen;
}

std::uint32_t world::next_choice(std::uint32_t alternatives) noexcept {
    if (!replaying_) return static_cast<std::uint32_t>(((next() >> 32) * alternatives) >> 32);
    // A log that was shortened may be of another run from some point on.
    return decisions_ < choices_.size() ? std::min(choices_[decisions_], alternatives - 1) : 0;
}

void world::decided(const decision& made) {
    if (expecting_ && (decisions_ >= expected_.size() || expected_[decisions_] != made))
        report_difference(to_string(made));
    ++decisions_;
    mix(made.alternatives);
    mix(made.chosen);
    if (recording_) recorded_.push_back(made);
    if (log_ == nullptr) return;
    write_decision(*log_, decisions_, made);
    log_->flush(); // the program may be about to crash
}

void world::log_to(std::ostream* log) {
    log_ = log;
    if (log_ == nullptr) return;
    for (std::uint64_t number = 0; number < recorded_.size(); ++number)
        write_decision(*log_, number + 1, recorded_[number]);
}

void world::remark(const std::string& what) {
    if (log_ == nullptr) return;
    *log_ << "   ";
    for (const char each : what) *log_ << (each == '\n' ? ' ' : each);
    *log_ << '\n';
}

void world::expect(const world& earlier) {
    expecting_ = true;
    expected_ = earlier.recorded_;
    expected_resumptions_ = earlier.recorded_resumptions_;
    expected_hash_ = earlier.hash_;
}

void world::check_all_expected_came() {
    if (decisions_ < expected_.size()) report_difference("the end");
    if (hash_ == expected_hash_) return;
    fail(
        "the program is not repeatable: all " + std::to_string(decisions_) +
        " decisions of both runs were the same, and what was completed after the last one differs");
}

void world::report_difference(const std::string& now) {
    const std::string before =
        decisions_ < expected_.size() ? to_string(expected_[decisions_]) : std::string("the end");
    const std::string number = std::to_string(decisions_ + 1);
    fail(
        "the program is not repeatable: " + (before == now
                                                 ? "decision " + number + " of both runs is (" + now +
                                                       "), and what was completed or resumed, or how much "
                                                       "time passed, between it and the one before differs"
                                                 : "decision " + number + " of the first run was (" + before +
                                                       "), of the second it is (" + now + ')'));
}

void world::report_difference(const resumption& now) {
    const std::string number = std::to_string(resumptions_ + 1);
    const std::string before = resumptions_ < expected_resumptions_.size()
                                   ? "was (" + to_string(expected_resumptions_[resumptions_]) + ')'
                                   : "was not there";
    fail(
        "the program is not repeatable: after the same decisions, resumption " + number +
        " of the first run " + before + ", of the second it is (" + to_string(now) + ')');
}

void world::heal() {
    if (heals_++ == 0) before_heal_ = faults_.to_string();
    remark("the world heals");
    const std::size_t buffer = faults_.buffer;
    faults_ = {};
    faults_.buffer = buffer;
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

void world::resumes(const resumption& next) {
    if (expecting_ &&
        (resumptions_ >= expected_resumptions_.size() || expected_resumptions_[resumptions_] != next))
        report_difference(next);
    ++resumptions_;
    mix(next.wait);
    mix(next.where.line());
    if (recording_) recorded_resumptions_.push_back(next);
    if (log_ != nullptr) *log_ << "   resumption of " << to_string(next) << '\n';
}

void world::entered() {
    if (++enters_ == most_enters_)
        fail(
            "no end in sight after " + std::to_string(enters_) + " enters (world::allow_enters allows more)");
    if (at_each_enter_) at_each_enter_();
}

void world::pass(duration time) {
    now_ += time;
    mix(static_cast<std::uint64_t>(time.count()));
    if (log_ != nullptr) *log_ << "   " << time.count() << " ns pass\n";
}

void world::fail(const std::string& why) {
    const allow_real_calls to_the_end; // whoever else has something to say of an abort
    report(why);
    tell_how_to_repeat();
    std::abort();
}

std::string world::configuration() const {
    const std::string has = faults_.to_string();
    std::string had = heals_ == 0 ? has : before_heal_ + ", healed: " + has;
    for (const std::string& each : configured_) had += "; " + each;
    return "seed " + std::to_string(seed_) + " (" + had + "), after " + std::to_string(decisions_) +
           " decisions";
}

void world::report(const std::string& why) {
    reported_ = true;
    std::fprintf(stderr, "chainring: simulation with %s: %s\n", configuration().c_str(), why.c_str());
    for (const explanation* each : std::exchange(explanations_, {}))
        each->explain_(std::cerr); // once: it may fail itself
}

explanation::explanation(world& of, std::function<void(std::ostream&)> explain)
    : world_(of)
    , explain_(std::move(explain)) {
    world_.explanations_.push_back(this);
}

explanation::~explanation() {
    std::erase(world_.explanations_, this);
}

} // namespace chainring::sim
