// Two clients add to a counter while machines die and networks fail. The test of the counter, for any runner of tests.
#pragma once

#include "counter.hpp"

#include <chainring/sim/drawn_options.hpp>
#include <chainring/sim/partition.hpp>
#include <chainring/sim/simulation.hpp>

namespace counter {

namespace sim = cr::sim;

class bad_day {
  public:
    static constexpr std::uint64_t additions = 10; // of each client

    bad_day(sim::world& world, memory remembered)
        : world_(world)
        , remembered_(remembered)
        , play_(world) {
        play_.traffic().set_latency({.least = 0ms, .most = 30ms});
    }

    // How much has been counted, when both clients have been told that all of theirs was.
    std::uint64_t total_in_the_evening() {
        for (std::uint32_t troubles = world_.choose(6, "troubles"); troubles != 0; --troubles) {
            play_.run_for(a_while());
            something_happens();
        }
        world_.heal(); // whatever happened: from here on all must go well
        play_.run_until([this] { return alice_.ended() && bob_.ended(); });
        return disk_.total;
    }

  private:
    cr::duration a_while() { return world_.choose(200, "milliseconds") * 1ms; }

    // The first alternative of a choice should be the harmless one: it is what the shrinker tries.
    void something_happens() {
        switch (world_.choose(5, "trouble")) {
        case 0: break;
        case 1: server_.restart(sim::death::killed); break;
        case 2: server_.restart(sim::death::power_cut); break;
        case 3: alice_.restart(sim::death::power_cut); break;
        default: {
            const sim::partition cut(play_.traffic(), "10.0.0.1", "10.0.0.2");
            play_.run_for(a_while());
        }
        }
    }

    // It ends when the machine has no descriptor for a listener, and somebody starts it again.
    cr::task<> server() {
        for (;;) {
            (void)co_await serve(disk_, remembered_);
            co_await cr::sleep(pause);
        }
    }

    sim::world& world_;
    memory remembered_;
    ledger disk_;
    journal alices_;
    journal bobs_;
    sim::simulation play_;
    // Each start of a machine calls its program anew. The disks are all that it finds again.
    sim::host& server_ = play_.add("10.0.0.1", [this] { return server(); }, sim::drawn_options(world_));
    sim::host& alice_ =
        play_.add("10.0.0.2", [this] { return keep_adding("10.0.0.1", "alice", additions, alices_); });
    sim::host& bob_ =
        play_.add("10.0.0.3", [this] { return keep_adding("10.0.0.1", "bob", additions, bobs_); });
};

} // namespace counter
