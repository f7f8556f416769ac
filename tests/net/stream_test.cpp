// Both directions of a stream together, its ends, and its closing.
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Stream> task<> send_then_end(Stream& to, const std::string& text, std::size_t piece) {
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::string_view part = rest.substr(0, piece);
        co_await send_all(to, part);
        rest.remove_prefix(part.size());
    }
    must(co_await to.shutdown());
}

template <class Stream> task<> send_text(Stream& to, std::string text, outcome& result) {
    const auto sent = co_await to.send(text);
    result = {.done = true, .error = error_of(sent)};
}

template <class Stream> task<> close_it(Stream& closing, outcome& result) {
    const auto closed = co_await closing.close();
    result = {.done = true, .error = error_of(closed)};
}

} // namespace

TRANSPORT_TEST_CASE("an_echo_returns_every_byte_of_messages_of_any_size") {
    const int buffers = GENERATE(4096, 0);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        std::minstd_rand random(11);
        constexpr std::size_t longest = with_sanitizer ? 1'000'000 : 4'000'000;
        for (const std::size_t size : {1UZ, 2UZ, 4095UZ, 4096UZ, 4097UZ, 131'072UZ, 131'073UZ, longest}) {
            auto pair = co_await connected<over_any>(buffers);
            const std::string text = random_text(size, static_cast<std::uint32_t>(size));
            const std::size_t piece = 1 + random() % size;
            std::string back;
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(echo_to_end(std::move(pair.far)));
                group.spawn(send_then_end(pair.near, text, std::max(piece, size / 50)));
                back = co_await receive_to_end(pair.near);
            });
            CAPTURE(size, piece);
            CHECK((back == text));
        }
    });
}

TRANSPORT_TEST_CASE("many_connections_echo_at_once_and_none_sees_anothers_bytes") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        constexpr int connections = with_sanitizer ? 20 : 50;
        int right = 0;
        const auto talk = [&](int number) -> task<> {
            auto pair = co_await connected<over_any>(4096);
            const std::string text = random_text(30'000, static_cast<std::uint32_t>(number));
            std::string back;
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(echo_to_end(std::move(pair.far)));
                group.spawn(send_then_end(pair.near, text, 1000));
                back = co_await receive_to_end(pair.near);
            });
            if (back == text) ++right;
        };
        co_await scope([&](task_group& group) -> task<> {
            for (int number = 0; number < connections; ++number) group.spawn(talk(number));
            co_return;
        });
        CHECK(right == connections);
    });
}

TRANSPORT_TEST_CASE("after_a_half_close_the_other_direction_goes_on") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        co_await send_all(pair.near, "question");
        must(co_await pair.near.shutdown());
        CHECK(pair.near.is_open());
        const std::string question = co_await receive_to_end(pair.far);
        CHECK(question == "question");

        co_await send_all(pair.far, "answer");
        co_await expect(pair.near, "answer");
        const auto more = co_await pair.near.send("more");
        CHECK(error_of(more) == errc::closed);

        must(co_await pair.far.shutdown());
        const std::string rest = co_await receive_to_end(pair.near);
        CHECK(rest.empty());
    });
}

TRANSPORT_TEST_CASE("a_half_close_waits_for_all_that_was_queued_before_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>(4096);
        const std::string large = random_text(200'000, 1);
        outcome sent[2];
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.near, large, sent[0]));
            group.spawn(send_text(pair.near, "tail", sent[1]));
            co_await one_turn();
            bool ended = false;
            group.spawn([](auto& ending, bool& done) -> task<> {
                must(co_await ending.shutdown());
                done = true;
            }(pair.near, ended));
            co_await settle();
            CHECK_FALSE(ended);
            wire = co_await receive_to_end(pair.far);
        });
        CHECK((wire == large + "tail"));
        CHECK_FALSE(sent[0].error);
        CHECK_FALSE(sent[1].error);
    });
}

TRANSPORT_TEST_CASE("close_sends_what_is_queued_first") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>(4096);
        const std::string large = random_text(200'000, 1);
        outcome sent[2];
        outcome closed;
        std::string wire;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.near, large, sent[0]));
            group.spawn(send_text(pair.near, "tail", sent[1]));
            group.spawn(close_it(pair.near, closed));
            co_await settle();
            CHECK_FALSE(closed.done);
            wire = co_await receive_to_end(pair.far);
        });
        CHECK((wire == large + "tail"));
        for (const outcome& each : {sent[0], sent[1], closed}) CHECK_FALSE(each.error);
        CHECK_FALSE(pair.near.is_open());
    });
}

TRANSPORT_TEST_CASE("a_closed_stream_has_given_its_descriptor_back", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        executor& home = *executor::current();
        co_await until([&] { return home.stats().pending_closes == 0; }); // the listener's
        const std::size_t before = open_descriptors();
        must(co_await pair.near.close());
        CHECK(open_descriptors() == before - 1);
        CHECK_FALSE(pair.near.is_open());
        CHECK(pair.near.native_handle() == -1);
        CHECK(error_of(pair.near.local()) == errc::closed);
        CHECK(error_of(pair.near.peer()) == errc::closed);
        CHECK(error_of(pair.near.option(SOL_SOCKET, SO_RCVBUF)) == errc::closed);
        CHECK(error_of(pair.near.set_option(SOL_SOCKET, SO_KEEPALIVE, 1)) == errc::closed);
        const auto again = co_await pair.near.close();
        CHECK(error_of(again) == errc::closed);
        const auto half = co_await pair.near.shutdown();
        CHECK(error_of(half) == errc::closed);
        const std::string rest = co_await receive_to_end(pair.far);
        CHECK(rest.empty());
    });
}

TRANSPORT_TEST_CASE("two_tasks_may_close_a_stream_at_the_same_time") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        outcome closed[3];
        co_await scope([&](task_group& group) -> task<> {
            for (outcome& each : closed) group.spawn(close_it(pair.near, each));
            co_return;
        });
        for (const outcome& each : closed) CHECK(each.done);
        CHECK_FALSE(pair.near.is_open());
    });
}

TRANSPORT_TEST_CASE("closing_in_a_cancelled_scope_does_not_wait_for_the_queue") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        outcome stuck;
        outcome queued;
        outcome closed;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, std::string(500'000, 'x'), stuck));
            co_await settle();
            group.spawn(send_text(pair.stream, "queued", queued));
            co_await one_turn();
            co_await scope([&](task_group& inner) -> task<> {
                inner.spawn(close_it(pair.stream, closed));
                co_await settle();
                CHECK_FALSE(closed.done);
                inner.cancel();
            });
        });
        CHECK(closed.error == errc::cancelled);
        CHECK_FALSE(pair.stream.is_open());
        CHECK(stuck.error == errc::closed);
        CHECK(queued.error == errc::closed);
    });
}

TRANSPORT_TEST_CASE("destroying_a_stream_fails_what_is_queued_on_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        const std::string large = random_text(500'000, 1);
        outcome in_flight;
        outcome queued;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, large, in_flight));
            co_await settle();
            group.spawn(send_text(pair.stream, "queued", queued));
            co_await one_turn();
            CHECK_FALSE(in_flight.done);
            [[maybe_unused]] const over_any::stream dying = std::move(pair.stream);
        });
        CHECK(in_flight.error == errc::closed);
        CHECK(queued.error == errc::closed);
        const std::string wire = co_await read_plain_to_end(pair.peer);
        CHECK((wire == large.substr(0, wire.size())));
    });
}

TRANSPORT_TEST_CASE("a_message_of_which_nothing_was_sent_is_told_of_the_close_too") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(4096);
        co_await congest(pair);
        outcome in_flight;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(send_text(pair.stream, "nothing of it", in_flight));
            co_await settle();
            CHECK_FALSE(in_flight.done);
            [[maybe_unused]] const over_any::stream dying = std::move(pair.stream);
        });
        CHECK(in_flight.error == errc::closed);
    });
}

TRANSPORT_TEST_CASE("a_stream_that_is_assigned_to_closes_what_it_was") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto first = co_await connected<over_any>();
        auto second = co_await connected<over_any>();
        first.near = std::move(second.near);
        const std::string rest = co_await receive_to_end(first.far);
        CHECK(rest.empty());
        co_await send_all(first.near, "moved");
        co_await expect(second.far, "moved");
        const auto from_moved = co_await second.near.send("x");
        CHECK(error_of(from_moved) == errc::closed);
    });
}

TRANSPORT_TEST_CASE("a_stream_may_outlive_its_executor", "[linux]") {
    const std::size_t before = open_descriptors();
    stream_pair<over_any> left;
    over_any::listener listener;
    {
        executor home(options_for(GENERATE(both_modes())));
        home.run([](auto& pair, auto& accepting) -> task<> {
            accepting = must(over_any::listener::bind(over_any::somewhere()));
            pair = co_await connected<over_any>();
            co_await send_all(pair.near, "unread");
            const auto seen = co_await pair.far.receive(); // a multishot receive stays armed
            co_await send_all(pair.near, "unread");
            co_await settle();
        }(left, listener));
        CHECK(left.near.is_open());
    }
    CHECK_FALSE(left.near.is_open());
    CHECK_FALSE(listener.is_open());
    CHECK(error_of(left.near.local()) == errc::closed);
    CHECK(open_descriptors() == before);
}
