#include "asio_micro.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/experimental/basic_channel.hpp>
#include <boost/asio/experimental/basic_concurrent_channel.hpp>
#include <boost/asio/experimental/channel_traits.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <time.h>

#include <atomic>
#include <deque>
#include <semaphore>
#include <thread>

namespace asio = boost::asio;

namespace asio_micro {

namespace {

// As in the contestants (asio_server.hpp): the concrete executor, errors as values.
using executor = asio::io_context::executor_type;
using timer = asio::basic_waitable_timer<
    std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, executor>;
template <class Value = void> using awaitable = asio::awaitable<Value, executor>;

constexpr asio::use_awaitable_t<executor> awaiting;
constexpr auto as_result = asio::experimental::as_tuple(awaiting);

} // namespace

class context::state {
  public:
    asio::io_context io{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE}; // of one thread
    std::deque<timer> armed;

    // What is armed does not keep it from returning.
    void run() {
        io.restart();
        while (io.poll() != 0) {
        }
    }
};

context::context()
    : state_(std::make_unique<state>()) {}
context::~context() = default;

namespace {

awaitable<int> completes_at_once(int value) {
    co_return value;
}

awaitable<> await_all(int count, long& sum) {
    for (int at = 0; at < count; ++at) sum += co_await completes_at_once(at);
}

awaitable<> nothing(int& ran) {
    ++ran;
    co_return;
}

using signature = void(boost::system::error_code, int);
using channel = asio::experimental::basic_channel<executor, asio::experimental::channel_traits<>, signature>;
using concurrent_channel =
    asio::experimental::basic_concurrent_channel<executor, asio::experimental::channel_traits<>, signature>;

template <class Channel> awaitable<> send_all(Channel& to, int count) {
    for (int value = 0; value < count; ++value)
        (void)co_await to.async_send(boost::system::error_code(), value, as_result);
}

template <class Channel> awaitable<> receive_all(Channel& from, int count, long& sum) {
    for (int at = 0; at < count; ++at) {
        const auto [error, value] = co_await from.async_receive(as_result);
        if (!error) sum += value;
    }
}

using strand = asio::strand<executor>;

awaitable<> enter_often(strand& guard, asio::io_context& own, int times, long& counted) {
    for (int at = 0; at < times; ++at) {
        co_await asio::dispatch(asio::bind_executor(guard, awaiting));
        ++counted;
        co_await asio::dispatch(asio::bind_executor(own, awaiting));
    }
}

} // namespace

long context::await_many(int count) {
    long sum = 0;
    asio::co_spawn(state_->io, await_all(count, sum), asio::detached);
    state_->run();
    return sum;
}

int context::spawn_many(int count) {
    int ran = 0;
    int joined = 0;
    for (int at = 0; at < count; ++at)
        asio::co_spawn(state_->io, nothing(ran), [&joined](const std::exception_ptr&) { ++joined; });
    state_->run();
    return ran == joined ? ran : -1;
}

int context::post_many(int count) {
    int ran = 0;
    asio::post(state_->io, [this, count, &ran] {
        for (int at = 0; at < count; ++at) asio::post(state_->io, [&ran] { ++ran; });
    });
    state_->run();
    return ran;
}

long context::channel_many(int count, std::size_t capacity) {
    long sum = 0;
    channel values(state_->io.get_executor(), capacity);
    asio::co_spawn(state_->io, send_all(values, count), asio::detached);
    asio::co_spawn(state_->io, receive_all(values, count, sum), asio::detached);
    state_->run();
    return sum;
}

long context::channel_across(int count, std::size_t capacity) {
    long sum = 0;
    asio::io_context here{1};
    asio::io_context there{1};
    concurrent_channel values(here.get_executor(), capacity);
    asio::co_spawn(here, send_all(values, count), asio::detached);
    asio::co_spawn(there, receive_all(values, count, sum), asio::detached);
    {
        const std::jthread other([&there] { there.run(); });
        here.run();
    }
    return sum;
}

long context::strand_many(int count, int tasks) {
    long counted = 0;
    asio::io_context io{2};
    strand guard(io.get_executor());
    for (int number = 0; number < 2 * tasks; ++number)
        asio::co_spawn(io, enter_often(guard, io, count / (2 * tasks), counted), asio::detached);
    {
        const std::jthread other([&io] { io.run(); });
        io.run();
    }
    return counted;
}

void context::keep_armed(const std::vector<std::chrono::nanoseconds>& delays) {
    for (const std::chrono::nanoseconds delay : delays) {
        state_->armed.emplace_back(state_->io, delay);
        state_->armed.back().async_wait([](const boost::system::error_code&) {});
    }
}

int context::arm_many(int count, const std::vector<std::chrono::nanoseconds>& delays) {
    int ended = 0;
    timer one(state_->io);
    for (int at = 0; at < count; ++at) {
        one.expires_after(delays[static_cast<std::size_t>(at)]);
        one.async_wait([&ended](const boost::system::error_code& error) {
            if (error == asio::error::operation_aborted) ++ended;
        });
        one.cancel();
    }
    state_->run();
    return ended;
}

class other_thread::state {
  public:
    asio::io_context io{1}; // one thread runs it, and with a lock, since another posts
    asio::executor_work_guard<executor> work = asio::make_work_guard(io);
    std::jthread thread{[this] { io.run(); }};
};

namespace {

double nanoseconds_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

} // namespace

other_thread::other_thread()
    : state_(std::make_unique<state>()) {}
other_thread::~other_thread() {
    state_->work.reset();
}

double other_thread::post_many(int count) {
    std::atomic<int> left = count;
    const double begun = nanoseconds_now();
    for (int at = 0; at < count; ++at)
        asio::post(state_->io, [&left] { left.fetch_sub(1, std::memory_order_relaxed); });
    const double spent = nanoseconds_now() - begun;
    while (left.load(std::memory_order_acquire) != 0) std::this_thread::yield();
    return spent / count;
}

double other_thread::wake_up() {
    double ran_at = 0;
    std::binary_semaphore ran{0};
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    const double begun = nanoseconds_now();
    asio::post(state_->io, [&] {
        ran_at = nanoseconds_now();
        ran.release();
    });
    ran.acquire();
    return ran_at - begun;
}

} // namespace asio_micro
