#include "asio_micro.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>

namespace asio = boost::asio;

namespace asio_micro {

class context::state {
  public:
    asio::io_context io{1};
    std::deque<asio::steady_timer> armed;

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

asio::awaitable<int> completes_at_once(int value) {
    co_return value;
}

asio::awaitable<void> await_all(int count, long& sum) {
    for (int at = 0; at < count; ++at) sum += co_await completes_at_once(at);
}

asio::awaitable<void> nothing(int& ran) {
    ++ran;
    co_return;
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

void context::keep_armed(const std::vector<std::chrono::nanoseconds>& delays) {
    for (const std::chrono::nanoseconds delay : delays) {
        state_->armed.emplace_back(state_->io, delay);
        state_->armed.back().async_wait([](const boost::system::error_code&) {});
    }
}

int context::arm_many(int count, const std::vector<std::chrono::nanoseconds>& delays) {
    int ended = 0;
    asio::steady_timer timer(state_->io);
    for (int at = 0; at < count; ++at) {
        timer.expires_after(delays[static_cast<std::size_t>(at)]);
        timer.async_wait([&ended](const boost::system::error_code& error) {
            if (error == asio::error::operation_aborted) ++ended;
        });
        timer.cancel();
    }
    state_->run();
    return ended;
}

} // namespace asio_micro
