// Whether what the real kernel did is among what the simulated one may do. That is found out by trying one seed after the
// other, until one of them does the same; and then, as an order of many completions is rare, by a search for it.
#pragma once

#include "kernels.hpp"

#include <map>
#include <string>

namespace chainring::test::conformance {

// How hard it is tried.
struct effort {
    std::uint64_t seeds = 1000;
    std::uint64_t search = 50'000; // runs, for each number of faults
};

class judge {
  public:
    explicit judge(const script& of, const effort& spent = {})
        : script_(of)
        , effort_(spent) {}

    bool allows(const std::string& outcome);
    // The same completions, in whatever order: for an order that was asked for and not found.
    bool allows_in_some_order(const std::string& outcome) const;
    // All that some seed has done, for who asks how much is allowed.
    std::size_t outcomes_seen() const noexcept { return seen_.size(); }
    std::uint64_t seeds_tried() const noexcept { return next_seed_; }
    std::uint64_t searches() const noexcept { return searches_; }
    // Of an outcome that is not allowed: the script, the outcome, and the allowed ones that are the most alike.
    std::string explain(const std::string& refused) const;

  private:
    script script_;
    effort effort_;
    std::uint64_t next_seed_ = 0;
    std::uint64_t searches_ = 0;
    std::map<std::string, std::uint64_t> seen_; // with its first seed
};

// The script without the steps that it does not need for an outcome that is not allowed.
script shrunk(script failing, stage& real);

} // namespace chainring::test::conformance
