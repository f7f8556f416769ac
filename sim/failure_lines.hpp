// The two lines that end the failure of a world:
//
//     repeat it:  CHAINRING_SIM_SEED=64 './server-test' 'name of the test'
//     shrink it:  chainring-shrink 64 './server-test' 'name of the test'
//
// Of a world that fails only when it is run for the second time the first one says CHAINRING_SIM_TWICE=1, and of one that replays a log it
// names that; then there is no second.
//
// `each_seed` says which world runs; whoever hears of a failure (Catch2's listener, a signal, `run_seeds`) lets them be printed.
#pragma once

#include <chainring/sim/world.hpp>

#include <string>
#include <vector>

namespace chainring::sim {

// While it lives a failure is that of this world. One at a time.
class running_world {
  public:
    explicit running_world(const world& running);
    ~running_world();
    running_world(const running_world&) = delete;
    running_world& operator=(const running_world&) = delete;

  private:
    int exceptions_;
};

// Prints them on standard error, once for each test, where a world runs or has just ended by an exception. From a signal handler too.
void tell_how_to_repeat() noexcept;
// The same behind a line with the whole configuration of the world.
void tell_of_a_failed_check();
// Something that cannot be done within one.
bool a_world_runs() noexcept;
// They were printed: the test goes on to no other world.
bool a_world_has_failed() noexcept;

// A test begins. Without arguments those of the process are its command line; the program is always that of the process.
void test_begins();
void test_begins(const std::vector<std::string>& arguments);
// The command that shrinks, for a tree that has one of its own.
void shrink_with(std::string command);

} // namespace chainring::sim
