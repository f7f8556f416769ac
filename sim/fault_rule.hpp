// A fault for a while.
//
//     {
//         const sim::fault_rule lossy(world, &sim::faults::lost_datagram, 300);
//         co_await exchange_datagrams(); // three in ten get lost
//     } // as often as before
#pragma once

#include <chainring/sim/world.hpp>

namespace chainring::sim {

class fault_rule {
  public:
    // While it lives, the fault occurs that often, in thousandths. Rules on one fault end in the reverse order.
    fault_rule(world& in, unsigned faults::* fault, unsigned thousandths) noexcept
        : world_(in)
        , fault_(fault)
        , before_(in.knobs().*fault)
        , heals_(in.heals()) {
        world_.set(fault, thousandths);
    }
    // A world that has healed meanwhile stays so.
    ~fault_rule() {
        if (world_.heals() == heals_) world_.set(fault_, before_);
    }
    fault_rule(const fault_rule&) = delete;
    fault_rule& operator=(const fault_rule&) = delete;

  private:
    world& world_;
    unsigned faults::* fault_;
    unsigned before_;
    unsigned heals_; // of the world, before this
};

} // namespace chainring::sim
