// Connected datagrams: boundaries, order, and errors that are those of one message.
#include "datagrams.hpp"

#include <array>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

task<std::string> next_of(const plain_receiver& from) {
    std::optional<std::string> got;
    co_await until([&] {
        got = from.next();
        return got.has_value();
    });
    co_return *got;
}

std::string text_of(int number) {
    return std::to_string(number) + std::string(static_cast<std::size_t>(number) % 100, '.');
}

} // namespace

TEMPLATE_TEST_CASE("datagrams_keep_their_boundaries_and_their_order", "[linux]", EACH_KIND) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver peer(TestType::somewhere());
        auto near = must(TestType::socket::connect(peer.local(), TestType::somewhere()));
        const statistics before = executor::current()->stats();
        for (int number = 0; number < 8; ++number) must(co_await near.write(text_of(number)));
        must(co_await near.flush());
        CHECK(executor::current()->stats().batches_sent - before.batches_sent == 1);
        for (int number = 0; number < 8; ++number) {
            const std::string got = co_await next_of(peer);
            CHECK(got == text_of(number));
        }
        const endpoint at = must(near.local());
        for (int number = 0; number < 3; ++number) peer.answer(at, text_of(number));
        for (int number = 0; number < 3; ++number) {
            const datagram got = must(co_await near.receive());
            CHECK(got.text() == text_of(number));
        }
    });
}

TEST_CASE("datagrams_to_a_peer_that_is_slow_wait_and_keep_their_order") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver peer(over_unix_datagrams::somewhere());
        auto near = must(unix_datagram::connect(peer.local()));
        constexpr int count = 300; // a unix socket's queue holds some ten
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < count; ++number) {
                group.spawn([](unix_datagram& to, int which) -> task<> {
                    const std::string text = text_of(which);
                    const std::size_t sent = must(co_await to.send(text));
                    CHECK(sent == text.size());
                }(near, number));
            }
            co_await settle();
            for (int number = 0; number < count; ++number) {
                const std::string got = co_await next_of(peer);
                REQUIRE(got == text_of(number));
            }
        });
    });
}

TEMPLATE_TEST_CASE("an_empty_datagram_is_a_message_and_no_end", "[linux]", EACH_KIND) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver peer(TestType::somewhere());
        auto near = must(TestType::socket::connect(peer.local(), TestType::somewhere()));
        const std::size_t sent = must(co_await near.send(""sv));
        CHECK(sent == 0);
        const std::string got = co_await next_of(peer);
        CHECK(got.empty());
        const endpoint at = must(near.local());
        peer.answer(at, "before");
        peer.answer(at, "");
        peer.answer(at, "behind");
        const std::array<std::string_view, 3> all{"before", "", "behind"};
        for (const std::string_view expected : all) {
            const datagram received = must(co_await near.receive());
            CHECK(received.text() == expected);
        }
    });
}

TEST_CASE("an_empty_datagram_that_is_cancelled_in_the_chain_takes_nobody_else_along", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver peer(over_unix_datagrams::somewhere());
        auto near = must(unix_datagram::connect(peer.local()));
        const auto send = [](unix_datagram& to, std::string text, std::error_code& told) -> task<> {
            const result<std::size_t> sent = co_await to.send(text);
            told = error_of(sent);
        };
        int filled = 0;
        while (::send(near.native_handle(), "fill", 4, MSG_DONTWAIT) == 4) ++filled;
        std::error_code empty;
        std::error_code others[2];
        co_await scope([&](task_group& group) -> task<> {
            co_await scope([&](task_group& cancelled) -> task<> {
                cancelled.spawn(send(near, "", empty));
                co_await yield();
                group.spawn(send(near, "first", others[0]));
                group.spawn(send(near, "second", others[1]));
                co_await settle(); // they wait for room, in one chain
                cancelled.cancel();
            });
            for (int got = 0; got < filled; ++got) {
                const std::string text = co_await next_of(peer);
                CHECK(text == "fill");
            }
        });
        CHECK(empty == errc::cancelled);
        CHECK_FALSE(others[0]);
        CHECK_FALSE(others[1]);
        const std::string first = co_await next_of(peer);
        CHECK(first == "first");
        const std::string second = co_await next_of(peer);
        CHECK(second == "second");
        co_await settle();
        CHECK_FALSE(peer.next().has_value());
    });
}

TEST_CASE("a_submission_queue_of_one_entry_is_enough_for_datagrams") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.ring.submission_entries = 1;
    on_executor(options, []() -> task<> {
        const plain_receiver peer(over_unix_datagrams::somewhere());
        auto near = must(unix_datagram::connect(peer.local()));
        constexpr int count = 40; // more than the receiver's queue holds
        for (int number = 0; number < count; ++number) must(co_await near.write(text_of(number)));
        co_await settle(); // what is left waits for room
        for (int number = 0; number < count; ++number) {
            const std::string got = co_await next_of(peer);
            REQUIRE(got == text_of(number));
        }
    });
}

TEST_CASE("a_datagram_that_is_too_long_fails_alone", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver peer(over_udp::somewhere());
        auto near = must(udp_socket::connect(peer.local()));
        const std::string endless(70'000, 'x');
        std::error_code error;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](udp_socket& to, const std::string& text, std::error_code& told) -> task<> {
                const auto sent = co_await to.send(std::string_view(text));
                told = error_of(sent);
            }(near, endless, error));
            co_await pass();
            must(co_await near.write("behind"sv));
        });
        CHECK(error == std::errc::message_size);
        const std::string got = co_await next_of(peer);
        CHECK(got == "behind");

        std::array<std::byte, 4> small{};
        peer.answer(must(near.local()), "longer than four");
        const placed_datagram cut = must(co_await near.receive_into(small));
        CHECK(cut.truncated);
        CHECK(cut.payload.size() == 4);
        CHECK(cut.sent_size == 16);
        peer.answer(must(near.local()), "four");
        const placed_datagram whole = must(co_await near.receive_into(small));
        CHECK_FALSE(whole.truncated);
        CHECK(whole.payload.size() == 4);
    });
}

TEST_CASE("a_written_datagram_that_is_too_long_is_told_by_the_next_flush_or_close_once") {
    const bool closes = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [closes]() -> task<> {
        const plain_receiver peer(over_udp::somewhere());
        auto near = must(udp_socket::connect(peer.local()));
        must(co_await near.write(std::string(70'000, 'x')));
        must(co_await near.write("behind"sv));
        if (closes) {
            const auto closed = co_await near.close();
            CHECK(error_of(closed) == std::errc::message_size);
        } else {
            const auto flushed = co_await near.flush();
            CHECK(error_of(flushed) == std::errc::message_size);
            must(co_await near.flush());
        }
        const std::string got = co_await next_of(peer);
        CHECK(got == "behind");
    });
}

TEST_CASE("a_refused_datagram_is_told_once_and_the_socket_goes_on", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        std::optional<plain_receiver> peer(over_udp::somewhere());
        const endpoint at = peer->local();
        peer.reset();
        auto near = must(udp_socket::connect(at));
        must(co_await near.send("nobody"sv));
        const auto received = co_await near.receive();
        CHECK(error_of(received) == std::errc::connection_refused);
        peer.emplace(at);
        must(co_await near.send("somebody"sv));
        const std::string got = co_await next_of(*peer);
        CHECK(got == "somebody");
        peer->answer(must(near.local()), "here");
        const datagram answer = must(co_await near.receive());
        CHECK(answer.text() == "here");
    });
}

TEMPLATE_TEST_CASE("a_close_ends_a_receive_into_memory_and_brings_no_datagram", "", EACH_KIND) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto socket = must(TestType::socket::bind(TestType::somewhere()));
        std::error_code error;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](typename TestType::socket& from, std::error_code& told) -> task<> {
                std::array<std::byte, 100> memory;
                const auto got = co_await from.receive_into(memory);
                told = error_of(got);
            }(socket, error));
            co_await settle();
            must(co_await socket.close());
        });
        CHECK(error == errc::closed);
    });
}

TEST_CASE("an_address_that_cannot_be_bound_is_refused") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver peer(over_udp::somewhere());
        const auto taken = udp_socket::connect(peer.local(), peer.local());
        CHECK(error_of(taken) == std::errc::address_in_use);
        co_return;
    });
}
