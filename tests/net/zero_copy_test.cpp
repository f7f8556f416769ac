// Sends without a copy: what is sent so, what the sender and the memory see of it, and what stays as it was.
#include "../runtime/forwarding_kernel.hpp"
#include "sockets.hpp"

#include <chainring/runtime/sleep.hpp>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr std::size_t threshold = 4096;

std::string letters(std::size_t size, char first) {
    std::string text(size, ' ');
    for (std::size_t at = 0; at < size; ++at) text[at] = static_cast<char>(first + at % 23);
    return text;
}

// More than the window below, which is less than twice the receive buffer that was asked for; and no more than a batch.
constexpr std::size_t more_than_the_window = std::size_t{128} * 1024;

// A connection whose bytes the network holds: the kernel takes many, and the peer's window is small. But not so small that
// loopback's segments do not fit: the kernel would fill it once in a while, after longer and longer pauses.
task<stream_and_peer<over_tcp>> with_a_small_window() {
    auto listener = must(tcp_listener::bind(over_tcp::somewhere()));
    plain_socket peer = plain_socket::connected_to(must(listener.local()), 65'536);
    auto stream = must(co_await listener.accept());
    must(stream.set_option(SOL_SOCKET, SO_SNDBUF, 1 << 20));
    must(stream.set_zero_copy(threshold));
    co_return stream_and_peer<over_tcp>{std::move(stream), std::move(peer)};
}

task<> send_and_tell(tcp_stream& to, std::string text, std::error_code& told) {
    const result<std::size_t> sent = co_await to.send(std::move(text));
    told = error_of(sent);
}

} // namespace

LOCAL_TEST_CASE("unix_sockets_refuse_zero_copy") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        const auto refused = pair.near.set_zero_copy(threshold);
        CHECK(error_of(refused) == std::errc::operation_not_supported);
        over_any::stream closed;
        const auto nothing = closed.set_zero_copy(threshold);
        CHECK(error_of(nothing) == errc::closed);
    });
}

TEST_CASE("a_message_that_goes_without_a_copy_is_sent_behind_a_flush_of_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        must(pair.stream.set_zero_copy(threshold));
        const std::string large = letters(threshold, 'A');
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& of) -> task<> { must(co_await of.flush()); }(pair.stream));
            group.spawn([](auto& to, std::string text) -> task<> {
                must(co_await to.send(std::move(text)));
            }(pair.stream, large));
            co_return;
        });
        const std::string wire = co_await read_plain(pair.peer, large.size());
        CHECK((wire == large));
    });
}

TEST_CASE("messages_that_own_their_bytes_are_sent_without_a_copy_and_in_order", "[linux]") {
    // Not 4 KiB: loopback copies such packets into pages of their own, and a receive buffer of that size drops them.
    const int buffers = GENERATE(0, 65'536);
    on_executor(GENERATE(both_modes()), [buffers]() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(buffers);
        auto& to = pair.stream;
        must(to.set_zero_copy(threshold));
        const std::string large = letters(20'000, 'A');
        const std::string longer_than_a_batch = letters(300'000, 'a');
        const shared_message shared(large);
        const std::span<const std::byte> bytes = std::as_bytes(std::span(large));
        std::string received;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](const plain_socket& from, std::string& into) -> task<> {
                into = co_await read_plain_to_end(from);
            }(pair.peer, received));
            must(co_await to.write("small, "s));
            must(co_await to.write(std::string(large)));
            must(co_await to.write("borrowed: "sv));
            must(co_await to.write(bytes));
            must(co_await to.write(shared));
            must(co_await to.write(std::vector<std::byte>(bytes.begin(), bytes.end())));
            const std::size_t sent = must(co_await to.send(std::string(longer_than_a_batch)));
            CHECK(sent == longer_than_a_batch.size());
            const std::size_t again = must(co_await to.send(shared));
            CHECK(again == large.size());
            must(co_await to.flush());
            must(co_await to.shutdown());
        });
        CHECK(
            (received ==
             "small, " + large + "borrowed: " + large + large + large + longer_than_a_batch + large));
        const statistics& counters = executor::current()->counters();
        CHECK(counters.zero_copies == 4 + 3); // the long one in three parts
        co_await until([] { return executor::current()->stats().operations_in_flight == 0; });
        CHECK(counters.zero_copies_copied == counters.zero_copies); // as always on loopback
    });
}

TEST_CASE("a_lease_is_passed_on_without_a_copy") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        must(pair.stream.set_zero_copy(1));
        const std::string text = letters(3000, 'A');
        REQUIRE(pair.peer.send(text));
        std::string back;
        while (back.size() < text.size()) {
            buffer chunk = must(co_await pair.stream.receive());
            const std::size_t size = chunk.size();
            must(co_await pair.stream.send(std::move(chunk)));
            back += co_await read_plain(pair.peer, size);
        }
        CHECK((back == text));
        CHECK(executor::current()->counters().zero_copies >= 1);
        co_await until([] { return executor::current()->stats().buffers_leased == 0; });
    });
}

TEST_CASE("small_and_borrowed_messages_are_copied_and_zero_copy_can_be_switched_off") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        must(pair.stream.set_zero_copy(threshold));
        const std::string large = letters(8000, 'A');
        must(co_await pair.stream.send(letters(threshold - 1, 'a')));
        must(co_await pair.stream.send(std::string_view(large)));
        must(pair.stream.set_zero_copy(0));
        must(co_await pair.stream.send(std::string(large)));
        CHECK(executor::current()->counters().zero_copies == 0);
    });
}

TEST_CASE("the_sender_goes_on_before_the_network_has_let_go_of_the_memory", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await with_a_small_window();
        const std::string text = letters(more_than_the_window, 'A');
        must(co_await pair.stream.send(std::string(text)));
        // The result is there, and the memory is the network's until the peer has read it.
        CHECK(executor::current()->stats().operations_in_flight >= 1);
        const std::string received = co_await read_plain(pair.peer, text.size());
        CHECK((received == text));
        co_await until([] { return executor::current()->stats().operations_in_flight == 0; });
    });
}

TEST_CASE("a_close_does_not_wait_for_the_network_to_let_go", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await with_a_small_window();
        const std::string text = letters(more_than_the_window, 'A');
        must(co_await pair.stream.send(std::string(text)));
        must(co_await pair.stream.close());
        CHECK(executor::current()->stats().operations_in_flight >= 1);
        const std::string received = co_await read_plain_to_end(pair.peer);
        CHECK((received == text));
        co_await until([] { return executor::current()->stats().operations_in_flight == 0; });
    });
}

TEST_CASE("a_cancelled_send_without_a_copy_says_what_became_of_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        must(pair.stream.set_zero_copy(threshold));
        co_await congest(pair);
        std::error_code told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_and_tell(pair.stream, letters(50'000, 'A'), told));
            co_await settle();
            CHECK(executor::current()->counters().zero_copies == 1);
            group.cancel();
        });
        CHECK(told == errc::cancelled);
        pair.stream.abort();
        co_await until([] { return executor::current()->stats().operations_in_flight == 0; });
    });
}

TEST_CASE(
    "a_cancel_that_comes_too_late_for_a_send_without_a_copy_is_not_repeated_until_its_notification",
    "[linux]") {
    // The send goes to the kernel together with its cancel, which finds nothing but the notification.
    struct refusing_once final : forwarding_kernel {
        bool refuses = false;
        int
        enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned flags) noexcept override {
            if (to_submit != 0 && std::exchange(refuses, false)) return -EAGAIN;
            return forwarding_kernel::enter(ring, to_submit, wait, flags);
        }
    } kernel;
    executor home(options_for(GENERATE(both_modes())), kernel);
    home.run([](refusing_once& behind) -> task<> {
        auto pair = co_await with_a_small_window();
        const std::string text = letters(more_than_the_window, 'A');
        std::error_code told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_and_tell(pair.stream, text, told));
            behind.refuses = true;
            co_await turn_begin();
            group.cancel();
        });
        CHECK_FALSE(told);
        CHECK_FALSE(behind.refuses);
        const statistics before = executor::current()->stats();
        REQUIRE(before.operations_in_flight == 1);
        co_await settle(); // by 50 SQEs; a cancel in each turn would be as many again
        CHECK(executor::current()->stats().sqes - before.sqes < 75);
        const std::string received = co_await read_plain(pair.peer, text.size());
        CHECK((received == text));
        co_await until([] { return executor::current()->stats().operations_in_flight == 0; });
    }(kernel));
    check_baseline(home);
}

TEST_CASE("an_executor_may_end_before_its_sends_without_a_copy_have", "[linux]") {
    const bool read_afterwards = GENERATE(false, true);
    const auto mode = GENERATE(both_modes());
    const std::string text = letters(more_than_the_window, 'A');
    plain_socket peer;
    {
        executor home(options_for(mode));
        home.run([](const std::string& sent, plain_socket& kept) -> task<> {
            auto pair = co_await with_a_small_window();
            must(co_await pair.stream.send(std::string(sent)));
            kept = std::move(pair.peer);
        }(text, peer));
        CHECK(home.stats().operations_in_flight >= 1);
        CHECK(home.stats().pending_closes == 0);
    }
    if (read_afterwards) {
        const std::string received = peer.read_all();
        CHECK((received == text)); // nobody else's bytes
    }
}

TEST_CASE("a_sender_may_die_while_its_bytes_are_sent_without_a_copy", "[linux]") {
    const auto mode = GENERATE(both_modes());
    executor home(options_for(mode));
    std::error_code told;
    home.run([](std::error_code& error) -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        must(pair.stream.set_zero_copy(threshold));
        co_await congest(pair);
        {
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            group.spawn(send_and_tell(pair.stream, letters(50'000, 'a'), error));
            co_await settle();
            CHECK(executor::current()->counters().zero_copies == 1);
        } // the group's tasks are destroyed as they are
        pair.stream.abort();
        co_await until([] { return executor::current()->stats().operations_in_flight == 0; });
    }(told));
    check_baseline(home);
}
