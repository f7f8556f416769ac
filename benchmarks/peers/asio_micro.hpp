// Asio's building blocks, for benchmarks/micro.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

namespace asio_micro {

#ifdef WITH_ASIO

inline constexpr bool available = true;

// Each call runs `count` of them to the end and returns what it counted.
class context {
  public:
    context();
    ~context();

    long await_many(int count);
    int spawn_many(int count);
    int post_many(int count);
    void keep_armed(const std::vector<std::chrono::nanoseconds>& delays);
    int arm_many(int count, const std::vector<std::chrono::nanoseconds>& delays);

    // Values through a channel, between tasks of one thread and of two; their sum.
    long channel_many(int count, std::size_t capacity);
    static long channel_across(int count, std::size_t capacity);
    // Tasks of two threads, so many each, that enter a strand.
    static long strand_many(int count, int tasks);

  private:
    class state;
    std::unique_ptr<state> state_;
};

// An io_context that a thread of its own runs.
class other_thread {
  public:
    other_thread();
    ~other_thread();

    // Posts to it, and returns what one cost the sender, in nanoseconds.
    double post_many(int count);
    // How long it takes, asleep, to run what is posted, in nanoseconds.
    double wake_up();

  private:
    class state;
    std::unique_ptr<state> state_;
};

#else

inline constexpr bool available = false;

class context {
  public:
    long await_many(int) { return 0; }
    int spawn_many(int) { return 0; }
    int post_many(int) { return 0; }
    void keep_armed(const std::vector<std::chrono::nanoseconds>&) {}
    int arm_many(int, const std::vector<std::chrono::nanoseconds>&) { return 0; }
    long channel_many(int, std::size_t) { return 0; }
    long channel_across(int, std::size_t) { return 0; }
    long strand_many(int, int) { return 0; }
};

class other_thread {
  public:
    double post_many(int) { return 0; }
    double wake_up() { return 0; }
};

#endif

} // namespace asio_micro
