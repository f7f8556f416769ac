// What operations on sockets that complete at once may not do: starve the others. And what they may not lose when the
// budget of a turn lets them go on later.
#include "sockets.hpp"

#include <array>
#include <limits>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// Ends after some operations and a timer of its own.
task<> runs_beside(bool& ended) {
    for (int turn = 0; turn < 3; ++turn) co_await one_turn();
    (void)co_await sleep(100us);
    ended = true;
}

// The budget is used up by each resumption: all that completes at once goes on later.
executor_options one_at_a_time() {
    executor_options options;
    options.budget = 1;
    return options;
}

} // namespace

TRANSPORT_TEST_CASE("who_receives_the_end_of_a_stream_for_ever_starves_nobody", "[linux]") {
    const bool lease = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        REQUIRE(::shutdown(pair.peer.get(), SHUT_WR) == 0);
        bool stop = false;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, bool leases, const bool& end) -> task<> {
                std::array<std::byte, 8> memory{};
                while (!end) {
                    if (leases)
                        (void)co_await from.receive();
                    else
                        (void)co_await from.receive_into(memory);
                }
            }(pair.stream, lease, stop));
            group.spawn(runs_beside(stop));
            co_return;
        });
    });
}

TRANSPORT_TEST_CASE("who_writes_below_a_mark_that_is_never_reached_starves_nobody", "[linux]") {
    const bool joined = GENERATE(true, false);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
        pair.stream.set_send_marks(
            {.high_bytes = none, .low_bytes = none, .high_messages = none, .low_messages = none});
        bool stop = false;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, bool may_join, const bool& end) -> task<> {
                while (!end) {
                    if (may_join)
                        must(co_await to.write("x"sv));
                    else
                        must(co_await to.write("x"s));
                }
            }(pair.stream, joined, stop));
            group.spawn(runs_beside(stop));
            co_return;
        });
        pair.stream.abort();
    });
}

TRANSPORT_TEST_CASE("nothing_of_what_was_received_is_lost_or_changes_places_on_a_budget_of_one") {
    const bool lease = GENERATE(true, false);
    on_executor(one_at_a_time(), [&]() -> task<> {
        auto pair = co_await connected<over_any>();
        const std::string text = random_text(1'000'000, 1);
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, const std::string& all) -> task<> {
                for (std::size_t at = 0; at < all.size(); at += 1000)
                    must(co_await to.write(std::string_view(all).substr(at, 1000)));
                must(co_await to.shutdown());
            }(pair.near, text));
            for (;;) {
                std::array<char, 100> memory{};
                std::string_view got;
                buffer chunk;
                if (lease) {
                    chunk = must(co_await pair.far.receive());
                    got = chunk.text();
                } else {
                    const std::size_t size =
                        must(co_await pair.far.receive_into(std::as_writable_bytes(std::span(memory))));
                    got = std::string_view(memory.data(), size);
                }
                if (got.empty()) break;
                wire += got;
            }
        });
        CHECK((wire == text));
    });
}

TRANSPORT_TEST_CASE("what_a_reader_found_at_once_is_its_own_until_it_goes_on") {
    const bool closes = GENERATE(true, false);
    on_executor(one_at_a_time(), [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        CHECK(pair.peer.send("first"));
        co_await expect(pair.stream, "first");
        CHECK(pair.peer.send("second"));
        co_await settle();
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, bool closed) -> task<> {
                const result<buffer> taken = co_await from.receive();
                CHECK(error_of(taken) == (closed ? make_error_code(errc::closed) : std::error_code()));
                if (taken) CHECK(taken->text() == "second");
            }(pair.stream, closes));
            group.spawn([](auto& from, bool closing) -> task<> {
                if (closing) from.abort();
                const result<buffer> none = co_await from.receive();
                CHECK(error_of(none) == (closing ? errc::closed : errc::busy));
            }(pair.stream, closes));
            co_return;
        });
    });
}

// Fails if a reader takes all that was received for it in one go: sixteen blocks and more.
TRANSPORT_TEST_CASE("who_finds_much_to_receive_lets_others_receive_in_between") {
    const bool lease = GENERATE(true, false);
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.block_size = 64;
    on_executor(options, [&]() -> task<> {
        auto fast = co_await connected_to_plain<over_any>();
        auto slow = co_await connected_to_plain<over_any>();
        CHECK(fast.peer.send("x"));
        CHECK(slow.peer.send("x"));
        co_await expect(fast.stream, "x"); // from here on they receive by themselves
        co_await expect(slow.stream, "x");
        const std::string much = random_text(2000, 1);
        CHECK(fast.peer.send(much));
        co_await until([&] { return executor::current()->stats().bytes_received >= 2 + 16 * 64; });
        CHECK(slow.peer.send("y"));
        co_await until([&] {
            const int in_the_socket = executor::current()->behind().unread(slow.stream.native_handle());
            return in_the_socket == 0 && slow.stream.receive().has_arrived();
        });
        std::string taken;
        std::size_t taken_before = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, bool leases, std::string& all, std::size_t size) -> task<> {
                std::array<std::byte, 64> memory{};
                while (all.size() < size) {
                    if (leases) {
                        const buffer chunk = must(co_await from.receive());
                        all += chunk.text();
                    } else {
                        const std::size_t got = must(co_await from.receive_into(memory));
                        all.append(reinterpret_cast<const char*>(memory.data()), got);
                    }
                }
            }(fast.stream, lease, taken, much.size()));
            group.spawn([](auto& from, const std::string& all, std::size_t& before) -> task<> {
                co_await expect(from, "y");
                before = all.size();
            }(slow.stream, taken, taken_before));
            co_return;
        });
        CHECK((taken == much));
        CHECK(taken_before <= 8UZ * 64);
    });
}
