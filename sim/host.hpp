// A machine of a simulation, and the program that it runs: on an executor of its own, behind a kernel of its own.
#pragma once

#include <chainring/runtime/spawn.hpp>
#include <chainring/sim/isolated_host.hpp>
#include <chainring/sim/simulated_kernel.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace chainring::sim {

// What its sockets' peers hear of the end of a program.
enum class death {
    killed, // as by SIGKILL: its kernel closes them
    power_cut // nothing, until its program is started again: then what they have sent meanwhile is answered by a reset
};

class host {
  public:
    using program = std::function<task<>()>;

    // `address`: numeric. See simulation::add.
    host(network& over, std::string address, const executor_options& options, program runs);
    ~host();
    host(const host&) = delete;
    host& operator=(const host&) = delete;

    const std::string& address() const noexcept { return address_; }

    // Starts the program from its beginning. It must not run; a program that has ended may be started again.
    void start();
    // Ends it in the middle of whatever it does. Its memory is lost, and what it has in the program's own variables outside
    // (a disk, if one likes) stays, as do the files of its unix sockets. It may have ended already.
    //
    // Its coroutines are destroyed, and with them what they hold: destructors run, which a real kill leaves out. What such a
    // destructor writes to a disk outside is there after the kill; keep it from that (`ending`).
    void end(death how);
    void restart(death how = death::killed) {
        end(how);
        start();
    }

    bool running() const noexcept { return home_ != nullptr && !ended(); }
    // It is being ended: no destructor should touch what outlives it.
    bool ending() const noexcept { return ending_; }
    // The program has returned, and what it had open is closed. One that throws fails the world.
    bool ended() const noexcept { return returned_ && home_->counters().pending_closes == 0; }

    // From a start of the program to its `end`.
    executor& home() noexcept { return *home_; }
    simulated_kernel& kernel() noexcept { return *kernel_; }

    // For the simulation.

    // There is something to do at once.
    bool ready();
    std::optional<time_point> next_deadline() const;
    void pump(unsigned most_turns);
    void describe(std::ostream& to) const;

  private:
    void check_nothing_is_left();

    network& network_;
    std::string address_;
    executor_options options_;
    program program_;
    std::unique_ptr<simulated_kernel> kernel_;
    std::unique_ptr<executor> home_;
    int handle_ = -1;
    bool more_ = false; // to do, as the last pump has said
    bool returned_ = false;
    bool pumped_ = false; // its program goes on just now
    bool ending_ = false;
    std::optional<isolated_host> without_power_;
};

} // namespace chainring::sim
