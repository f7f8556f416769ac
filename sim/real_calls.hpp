// A simulated world goes on in virtual time, on simulated sockets, in one thread. A call of Linux that means the real ones, such as the
// sleep of std::this_thread::sleep_for, is refused where it is made, whoever makes it in that thread: the world fails by its name.
//
// Linux itself sends such calls back (PR_SET_SYSCALL_USER_DISPATCH, Linux 5.11, x86-64); elsewhere they are not seen. The clocks of that
// thread tell virtual time (virtual_clock.hpp).
#pragma once

namespace chainring::sim {

class world;
struct guarded_thread;

// While it lives, its thread is kept from them; the latest one's world fails. Each simulated kernel has one, and `each_seed` for each body.
class no_real_calls {
  public:
    explicit no_real_calls(world& within);
    ~no_real_calls();
    no_real_calls(const no_real_calls&) = delete;
    no_real_calls& operator=(const no_real_calls&) = delete;

    // This Linux can do it, and no tool is in its way: not under valgrind, nor with CHAINRING_SIM_REAL_CALLS=1.
    static bool possible() noexcept;

  private:
    friend guarded_thread;
    world& world_;
    guarded_thread& thread_;
    no_real_calls* before_;
};

// While it lives, the calls of this thread pass: for what a test does on purpose beside its world. Not across a co_await, since others go
// on meanwhile.
class allow_real_calls {
  public:
    allow_real_calls() noexcept;
    ~allow_real_calls();
    allow_real_calls(const allow_real_calls&) = delete;
    allow_real_calls& operator=(const allow_real_calls&) = delete;
};

} // namespace chainring::sim
