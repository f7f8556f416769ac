#include "runtime/steps.hpp"
#include "support.hpp"

#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/ready.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

class own_descriptor {
  public:
    explicit own_descriptor(int made)
        : made_(made) {
        REQUIRE(made_ >= 0);
    }
    ~own_descriptor() { ::close(made_); }
    own_descriptor(const own_descriptor&) = delete;
    own_descriptor& operator=(const own_descriptor&) = delete;
    int get() const noexcept { return made_; }

  private:
    int made_;
};

// A TCP connection over loopback whose first end is full: it does not block, and its peer has not read.
struct full_connection {
    full_connection() {
        const own_descriptor listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof at;
        auto* const address = reinterpret_cast<sockaddr*>(&at);
        const int size = 4096;
        ::setsockopt(listening.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        ::setsockopt(full.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        REQUIRE(::bind(listening.get(), address, length) == 0);
        REQUIRE(::listen(listening.get(), 1) == 0);
        REQUIRE(::getsockname(listening.get(), address, &length) == 0);
        REQUIRE(::connect(full.get(), address, length) == 0);
        peer.emplace(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
        ::fcntl(full.get(), F_SETFL, O_NONBLOCK);
        fill();
    }

    void fill() const {
        const std::vector<char> bytes(65536);
        while (::send(full.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
        }
    }
    void drain() const {
        std::vector<char> bytes(1 << 20);
        while (::recv(peer->get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
        }
    }

    own_descriptor full{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::optional<own_descriptor> peer;
};

task<> store_readiness(int descriptor, readiness wanted, std::optional<result<readiness>>& to) {
    to = co_await ready(descriptor, wanted);
}

} // namespace

TEST_CASE("a_descriptor_is_awaited_until_it_can_be_read") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([]() -> task<> {
        const pipe_ends pipe;
        std::optional<result<readiness>> told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(store_readiness(pipe.reading(), readable, told));
            for (int i = 0; i < 10; ++i) co_await next_turn();
            CHECK_FALSE(told);
            pipe.write("x");
        });
        CHECK(told == result<readiness>(readable));
        const result<readiness> still = co_await ready(pipe.reading(), readable);
        CHECK(still == result<readiness>(readable)); // it has taken nothing
        CHECK(pipe.left() == "x");
    }());
    check_baseline(used);
}

TEST_CASE("the_value_says_which_of_the_wanted_is_possible") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const pipe_ends pipe;
        const result<readiness> one = co_await ready(pipe.writing(), writable);
        CHECK(one == result<readiness>(writable));
        pipe.write("x");
        if (simulated_test_kernel() == nullptr) co_return; // a pipe has one direction
        const result<readiness> any = co_await ready(pipe.reading(), readable | writable);
        CHECK(any == result<readiness>(readable | writable));
    }());
    check_baseline(used);
}

TEST_CASE("a_cancelled_wait_for_readiness_takes_nothing_and_ends") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const pipe_ends pipe;
        const result<readiness> late = co_await timeout(1ms, ready(pipe.reading(), readable));
        CHECK(late == failure(errc::timed_out));
    }());
    check_baseline(used);
}

TEST_CASE("a_wait_for_readiness_may_be_destroyed") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const pipe_ends pipe;
        std::optional<result<readiness>> told;
        cancel_scope& here = co_await this_scope{};
        std::optional<task_group> group(std::in_place, here);
        group->spawn(store_readiness(pipe.reading(), readable, told));
        for (int i = 0; i < 3; ++i) co_await next_turn();
        group.reset();
        CHECK_FALSE(told);
    }());
    check_baseline(used);
}

TEST_CASE("the_end_of_what_can_be_read_and_a_writer_without_readers_are_ready", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        ::close(ends[1]);
        const result<readiness> at_end = co_await ready(ends[0], readable);
        CHECK(at_end == result<readiness>(readable));
        ::close(ends[0]);
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        ::close(ends[0]);
        const result<readiness> broken = co_await ready(ends[1], writable);
        CHECK(broken == result<readiness>(writable));
        ::close(ends[1]);
    }());
    check_baseline(used);
}

TEST_CASE("a_descriptor_that_is_closed_is_an_error_and_a_file_is_always_ready", "[linux]") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        const result<readiness> closed = co_await ready(-1, readable);
        REQUIRE_FALSE(closed);
        CHECK(closed.error() == std::errc::bad_file_descriptor);
        const own_descriptor file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
        const result<readiness> always = co_await ready(file.get(), readable);
        CHECK(always == result<readiness>(readable));
    }());
    check_baseline(used);
}

TEST_CASE("a_peer_that_has_half_closed_makes_nothing_writable_and_no_turns", "[linux]") {
    // io_uring ends each poll for it at once, whatever the poll asked for.
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([](executor& home) -> task<> {
        const full_connection connection;
        std::optional<result<readiness>> told;
        co_await scope([&](task_group& group) -> task<> {
            ::shutdown(connection.peer->get(), SHUT_WR);
            group.spawn(store_readiness(connection.full.get(), writable, told));
            (void)co_await sleep(5ms);
            CHECK_FALSE(told);
            const auto cqes = home.stats().cqes;
            (void)co_await sleep(20ms);
            CHECK(home.stats().cqes <= cqes + 2);
            connection.drain();
        });
        CHECK(told == result<readiness>(writable));
    }(used));
    check_baseline(used);
}

TEST_CASE("a_wait_for_room_behind_a_half_close_may_be_cancelled", "[linux]") {
    executor used(options_for(GENERATE(both_modes())), test_kernel());
    used.run([]() -> task<> {
        const full_connection connection;
        ::shutdown(connection.peer->get(), SHUT_WR);
        for (int milliseconds = 0; milliseconds < 4; ++milliseconds) {
            const duration limit = milliseconds * 1ms;
            const result<readiness> late = co_await timeout(limit, ready(connection.full.get(), writable));
            CHECK(late == failure(errc::timed_out));
        }
    }());
    check_baseline(used);
}
