// Which of the coroutines of an executor goes on, told to the world so that another order of the same ones has another hash.
//
// A coroutine has nothing that names it but its address, which is another one in the next run. So all that waits in the executor's
// scopes is numbered as it begins, between two resumptions: in the order of the scopes and of the waits in each, which follows
// from the program alone.
#pragma once

#include <chainring/runtime/ready_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chainring {
class cancel_scope;
class executor;
} // namespace chainring

namespace chainring::sim {

class world;

class numbered_waits final : public resumption_watch {
  public:
    numbered_waits(world& in, executor& of) noexcept
        : world_(in)
        , home_(of) {}

    void before(const waiter& next) noexcept override;
    void after() noexcept override;

  private:
    struct wait {
        const waiter* at; // nullptr: it has ended
        std::uint64_t number;
    };

    std::uint64_t take_number_of(const waiter& next) noexcept;
    void walk();
    wait numbered(const waiter& found, std::size_t& expected);
    void forget_what_was_destroyed();

    world& world_;
    executor& home_;
    std::vector<wait> waiting_;               // in the last walk, in its order
    std::vector<wait> before_;                // in the one before
    std::vector<wait> ready_;                 // waited in an earlier walk, and are to go on
    std::vector<const cancel_scope*> scopes_; // of a walk
    std::uint64_t begun_ = 0;                 // waits so far
    std::size_t not_walked_for_ = 0;          // resumptions
};

} // namespace chainring::sim
