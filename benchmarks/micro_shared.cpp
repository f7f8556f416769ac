// What tasks share, on one executor and between two, beside Asio's; and a mutex beside std::mutex, which blocks its thread.
#include "micro.hpp"

#include <chainring/chainring.hpp>

#include <mutex>
#include <optional>
#include <thread>

namespace cr = chainring;

namespace micro {

namespace {

constexpr std::size_t capacity = 64;
constexpr std::size_t wide = 1024;
constexpr int tasks_of_an_executor = 64;

cr::task<int> lock_many(cr::mutex& of, int count) {
    int locked = 0;
    for (int at = 0; at < count; ++at) {
        const cr::result<cr::scoped_lock> held = co_await of.lock();
        if (held) ++locked;
    }
    co_return locked;
}

cr::task<> send_many(cr::channel<int>& to, int count) {
    for (int value = 0; value < count; ++value) (void)co_await to.send(value);
}

cr::task<long> receive_many(cr::channel<int>& from, int count) {
    long sum = 0;
    for (int at = 0; at < count; ++at) {
        const cr::result<int> value = co_await from.receive();
        sum += *value;
    }
    co_return sum;
}

cr::task<long> send_and_receive(int count) {
    cr::channel<int> values(capacity);
    long sum = 0;
    co_await cr::scope([&](cr::task_group& group) -> cr::task<> {
        group.spawn(send_many(values, count));
        sum = co_await receive_many(values, count);
    });
    co_return sum;
}

long sum_below(int count) {
    return long{count} * (count - 1) / 2;
}

// Another executor on a thread of its own, which carries out one task after the other.
class second_executor {
  public:
    ~second_executor() { work_.close(); }

    cr::result<void> try_run(cr::task<> work) { return work_.try_send(std::move(work)); }

  private:
    cr::channel<cr::task<>> work_{1};
    std::jthread thread_{[this] {
        cr::executor home;
        home.run([](cr::channel<cr::task<>>& work) -> cr::task<> {
            while (auto next = co_await work.receive()) co_await std::move(*next);
        }(work_));
    }};
};

cr::task<> receive_and_tell(cr::channel<int>& from, int count, cr::oneshot_sender<long> to) {
    const long sum = co_await receive_many(from, count);
    (void)to.send(sum);
}

cr::task<long> send_across(second_executor& other, int count, std::size_t places) {
    cr::channel<int> values(places);
    cr::oneshot<long> sum;
    check(other.try_run(receive_and_tell(values, count, sum.take_sender())).has_value());
    co_await send_many(values, count);
    const cr::result<long> received = co_await sum.receive();
    co_return *received;
}

// Of all tasks of an executor, each with its share of the rounds.
template <class Mutex> cr::task<> contend(Mutex& of, long& counted, int rounds, cr::latch& ended) {
    co_await cr::scope([&](cr::task_group& group) -> cr::task<> {
        for (int number = 0; number < tasks_of_an_executor; ++number)
            group.spawn([](Mutex& shared, long& count, int times) -> cr::task<> {
                for (int round = 0; round < times; ++round) {
                    if constexpr (std::same_as<Mutex, cr::mutex>) {
                        const cr::result<cr::scoped_lock> held = co_await shared.lock();
                        ++count;
                    } else {
                        const std::lock_guard held(shared);
                        ++count;
                    }
                }
            }(of, counted, rounds));
        co_return;
    });
    ended.count_down();
}

template <class Mutex> cr::task<long> contend_with(second_executor& other, int count) {
    const int rounds = count / (2 * tasks_of_an_executor);
    Mutex shared;
    long counted = 0;
    cr::latch ended(2);
    check(other.try_run(contend(shared, counted, rounds, ended)).has_value());
    co_await contend(shared, counted, rounds, ended);
    (void)co_await ended.wait();
    co_return counted;
}

} // namespace

void compare_shared(cr::executor& home, asio_micro::context& asio) {
    std::mutex plain;
    cr::mutex mutex;
    const auto lock_plainly = [&](int count) {
        for (int at = 0; at < count; ++at) const std::lock_guard held(plain);
    };
    constexpr measured of_a_lock{.count = 10'000};
    compare(
        "lock a free mutex (std::mutex), one thread", of_a_lock,
        [&] { check(home.run(lock_many(mutex, of_a_lock.count)) == of_a_lock.count); },
        [&] { lock_plainly(of_a_lock.count); });

    constexpr measured of_a_value{.count = 10'000};
    const auto channel_here = [&](const char* name) {
        compare(
            name, of_a_value,
            [&] { check(home.run(send_and_receive(of_a_value.count)) == sum_below(of_a_value.count)); },
            [&] { check(asio.channel_many(of_a_value.count, capacity) == sum_below(of_a_value.count)); },
            asio_micro::available);
    };
    channel_here("a value through a channel, one thread");

    second_executor other; // from here on the process has two threads
    compare(
        "lock a free mutex (std::mutex), of two threads", of_a_lock,
        [&] { check(home.run(lock_many(mutex, of_a_lock.count)) == of_a_lock.count); },
        [&] { lock_plainly(of_a_lock.count); });
    channel_here("a value through a channel, of two threads");

    constexpr measured across{.count = 100'000, .clock = CLOCK_MONOTONIC, .rounds = 20};
    const auto channel_across = [&](const char* name, std::size_t places) {
        compare(
            name, across,
            [&] { check(home.run(send_across(other, across.count, places)) == sum_below(across.count)); },
            [&] { check(asio.channel_across(across.count, places) == sum_below(across.count)); },
            asio_micro::available);
    };
    channel_across("a value to another executor, 64 places", capacity);
    channel_across("a value to another executor, 1024 places", wide);

    constexpr measured contended{
        .count = 2 * tasks_of_an_executor * 500, .clock = CLOCK_MONOTONIC, .rounds = 20};
    compare(
        "lock a mutex (strand), 2 executors x 64 tasks", contended,
        [&] { check(home.run(contend_with<cr::mutex>(other, contended.count)) == contended.count); },
        [&] { check(asio.strand_many(contended.count, tasks_of_an_executor) == contended.count); },
        asio_micro::available);
    compare(
        "lock a std::mutex, 2 executors x 64 tasks", contended,
        [&] { check(home.run(contend_with<std::mutex>(other, contended.count)) == contended.count); }, [] {},
        false);
}

} // namespace micro
