// A world of several machines, whose programs go on in turns of this one thread, in an order that the seed chooses.
//
//     sim::world world(42);
//     sim::simulation play(world);
//     play.traffic().set_latency({.least = 1ms, .most = 20ms});
//     sim::host& server = play.add("10.0.0.1", [] { return serve(7000); });
//     sim::host& client = play.add("10.0.0.2", [] { return ask("10.0.0.1", 7000); });
//     play.run_until([&] { return client.ended(); });
//
// Virtual time passes when all of them wait, to the next thing that happens. What a program computes takes no time.
#pragma once

#include <chainring/sim/host.hpp>
#include <chainring/sim/network.hpp>
#include <chainring/sim/world.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace chainring::sim {

class simulation {
  public:
    explicit simulation(world& within);
    // Kills what still runs.
    ~simulation();
    simulation(const simulation&) = delete;
    simulation& operator=(const simulation&) = delete;

    // A machine with that numeric address, whose program is started. `runs()` is called for each start, and may refer to what
    // outlives the simulation. It lives as long as the simulation. Throws std::invalid_argument for an address that is not numeric, and
    // for one that another machine has.
    host& add(const std::string& address, host::program runs, const executor_options& options = {});

    // Goes on until `done()`, which is asked after each step; a step is some turns of one program, or the arrival of something. Fails
    // the world where that takes longer, or where all wait for ever.
    void run_until(const std::function<bool()>& done, duration at_most = std::chrono::minutes(10));
    // The same until that much time has passed.
    void run_for(duration time);

    network& traffic() noexcept { return network_; }
    world& within() noexcept { return world_; }

  private:
    // False: nothing can go on before `end`.
    bool step(time_point end);
    // To the next event; false: there is none before `end`.
    bool let_time_pass(time_point end);
    time_point next_event() const;

    world& world_;
    network network_;
    std::vector<std::unique_ptr<host>> hosts_;
    explanation explanation_;
    bool steps_ = false; // a program, or something that arrives, goes on just now
};

} // namespace chainring::sim
