// What it costs to reach another executor, beside Asio's: posts from another thread, and the way to a thread that sleeps and back.
#include "micro.hpp"

#include <chainring/chainring.hpp>

#include <atomic>
#include <semaphore>
#include <thread>
#include <vector>

namespace cr = chainring;

namespace micro {

namespace {

// Another executor on a thread of its own.
class receiving_executor {
  public:
    receiving_executor() { made_.acquire(); }
    ~receiving_executor() { stop_.set(); }

    cr::executor& home() { return *home_; }

  private:
    cr::event stop_;
    cr::executor* home_ = nullptr;
    std::binary_semaphore made_{0};
    std::jthread thread_{[this] {
        cr::executor home;
        home_ = &home;
        made_.release();
        home.run([](cr::event& stop) -> cr::task<> { (void)co_await stop.wait(); }(stop_));
    }};
};

// A coroutine that is posted, say: it lies somewhere already.
struct counted_post final : cr::posted_work {
    std::atomic<int>* left = nullptr;
    void run() noexcept override { left->fetch_sub(1, std::memory_order_relaxed); }
};

// What the sender spends, until the last is posted. It does not wait for the other one meanwhile.
double post_all(cr::executor& to, std::vector<counted_post>& posts, std::atomic<int>& left) {
    left.store(static_cast<int>(posts.size()));
    const double begun = nanoseconds(CLOCK_MONOTONIC);
    for (counted_post& each : posts) to.post(static_cast<cr::posted_work&>(each));
    const double spent = nanoseconds(CLOCK_MONOTONIC) - begun;
    while (left.load(std::memory_order_acquire) != 0) std::this_thread::yield();
    return spent / static_cast<double>(posts.size());
}

double post_functions(cr::executor& to, int count, std::atomic<int>& left) {
    left.store(count);
    const double begun = nanoseconds(CLOCK_MONOTONIC);
    for (int at = 0; at < count; ++at) to.post([&left] { left.fetch_sub(1, std::memory_order_relaxed); });
    const double spent = nanoseconds(CLOCK_MONOTONIC) - begun;
    while (left.load(std::memory_order_acquire) != 0) std::this_thread::yield();
    return spent / count;
}

double median_of(std::vector<double> values) {
    std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
    return values[values.size() / 2];
}

void print_row(const char* name, double ours, double theirs) {
    std::printf("%-48s %9.2f ns", name, ours);
    if (theirs != 0) std::printf(" %9.2f ns %8.3f", theirs, ours / theirs);
    std::printf("\n");
}

// One call at a time on an executor that sleeps meanwhile: there and back, for each.
cr::task<std::vector<double>> call_many(cr::executor& there, int count) {
    std::vector<double> times;
    for (int at = 0; at < count; ++at) {
        // Long enough for the other one to fall asleep.
        (void)co_await cr::sleep(std::chrono::microseconds(100));
        const double begun = nanoseconds(CLOCK_MONOTONIC);
        auto asking = cr::call_on(there, [] { return 1; });
        const cr::result<int> answer = co_await std::move(asking);
        check(answer == 1);
        times.push_back(nanoseconds(CLOCK_MONOTONIC) - begun);
    }
    co_return times;
}

// How long a sleeping one takes to run what a foreign thread posts.
double wake_up_of(cr::executor& there) {
    double ran_at = 0;
    std::binary_semaphore ran{0};
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    const double begun = nanoseconds(CLOCK_MONOTONIC);
    there.post([&] {
        ran_at = nanoseconds(CLOCK_MONOTONIC);
        ran.release();
    });
    ran.acquire();
    return ran_at - begun;
}

} // namespace

void compare_posts(cr::executor& home) {
    constexpr int count = 100'000;
    constexpr int rounds = 30;
    const int wake_ups = rounds_of(2'000);
    receiving_executor other;
    asio_micro::other_thread theirs;
    std::vector<counted_post> posts(count);
    std::atomic<int> left = 0;
    for (counted_post& each : posts) each.left = &left;

    std::vector<double> objects;
    std::vector<double> functions;
    std::vector<double> of_asio;
    for (int round = rounds_of(rounds); round > 0; --round) {
        objects.push_back(post_all(other.home(), posts, left));
        functions.push_back(post_functions(other.home(), count, left));
        if constexpr (asio_micro::available) of_asio.push_back(theirs.post_many(count));
    }
    const double asio = of_asio.empty() ? 0 : median_of(of_asio);
    print_row("post a coroutine to another thread, sender", median_of(objects), asio);
    print_row("post a function to another thread, sender", median_of(functions), asio);

    std::vector<double> ours;
    std::vector<double> asios;
    for (int at = 0; at < wake_ups; ++at) {
        ours.push_back(wake_up_of(other.home()));
        if constexpr (asio_micro::available) asios.push_back(theirs.wake_up());
    }
    print_row("wake a sleeping thread by a post, p50", median_of(ours), asios.empty() ? 0 : median_of(asios));
    print_row(
        "call_on a sleeping executor and back, p50", median_of(home.run(call_many(other.home(), wake_ups))),
        0);
}

} // namespace micro
