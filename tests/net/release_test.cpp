// What leaves a stream with its descriptor: all that was received and not taken, and what could not be sent.
#include "released.hpp"
#include "short_of_descriptors.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

CONNECTION_TEST_CASE("a_released_descriptor_goes_on_with_all_that_was_received_and_not_taken") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>();
        CHECK(pair.peer.send("taken"));
        co_await expect(pair.stream, "taken"); // the receive stays armed
        CHECK(pair.peer.send("one"));
        CHECK(pair.peer.send("two"));
        co_await settle();
        must(co_await pair.stream.write("written"sv));
        auto released = must(co_await pair.stream.release());
        CHECK_FALSE(pair.stream.is_open());
        CHECK_FALSE(released.error);
        CHECK(released.unsent.empty());
        CHECK(concatenated(texts_of(released.received)) == "onetwo");
        if (!over_any::carries_bytes())
            CHECK(texts_of(released.received) == std::vector<std::string>{"one", "two"});
        const std::string written = co_await read_plain(pair.peer, 7);
        CHECK(written == "written");

        CHECK(pair.peer.send("three"));
        auto again = adopted_again<over_any>(released);
        co_await expect(again, "onetwothree");
        co_await send_all(again, "answer");
        const std::string answer = co_await read_plain(pair.peer, 6);
        CHECK(answer == "answer");
        must(co_await again.close());
    });
}

TRANSPORT_TEST_CASE("what_was_taken_in_part_is_handed_over_from_there") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>();
        CHECK(pair.peer.send("x"));
        co_await expect(pair.stream, "x");
        CHECK(pair.peer.send("headbody"));
        std::array<std::byte, 4> head{};
        const std::size_t size = must(co_await pair.stream.receive_into(head));
        CHECK(size == 4);
        auto released = must(co_await pair.stream.release());
        auto again = adopted_again<over_any>(released);
        co_await expect(again, "body");
    });
}

CONNECTION_TEST_CASE("a_peer_notices_nothing_of_a_release") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>();
        CHECK(pair.peer.send("x"));
        co_await expect(pair.stream, "x");
        auto released = must(co_await pair.stream.release());
        co_await settle();
        bool ended = false;
        CHECK(pair.peer.read_now(&ended).empty());
        CHECK_FALSE(ended);
        released.descriptor.reset();
        co_await until([&] {
            pair.peer.read_now(&ended);
            return ended;
        });
    });
}

CONNECTION_TEST_CASE("what_cannot_be_sent_within_the_limit_is_reported") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>(4096);
        const std::size_t dots = co_await congest(pair);
        result<released_stream> released;
        outcome sent;
        co_await scope([&](task_group& group) -> task<> {
            must(co_await pair.stream.write("first"sv));
            group.spawn(send_until_released(pair.stream, "awaited", sent));
            co_await pass();
            must(co_await pair.stream.write(std::string("second")));
            group.spawn(release_into(pair.stream, 1ms, released));
        });
        REQUIRE(released);
        CHECK(released->error == errc::timed_out);
        CHECK(sent.error == errc::closed);
        CHECK(concatenated(texts_of(released->unsent)) == "firstsecond");
        if (!over_any::carries_bytes()) CHECK(released->unsent.size() == 2);

        auto again = adopted_again<over_any>(*released);
        for (auto& each : released->unsent) must(co_await again.write(std::move(each)));
        std::string wire;
        co_await until([&] {
            wire += pair.peer.read_now();
            return wire.size() >= dots + 11;
        });
        CHECK(wire.substr(dots) == "firstsecond");
    });
}

TRANSPORT_TEST_CASE("the_rest_of_a_message_that_is_partly_on_the_wire_is_handed_over") {
    const bool written = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [written]() -> task<> {
        auto pair = co_await adopted_pair<over_any>(65'536);
        const std::string large = random_text(1'000'000, 7);
        pair.stream.set_send_marks({.high_bytes = 2'000'000});
        result<released_stream> released;
        outcome sent;
        co_await scope([&](task_group& group) -> task<> {
            if (written)
                must(co_await pair.stream.write(large));
            else
                group.spawn(send_until_released(pair.stream, large, sent));
            co_await settle();
            group.spawn(release_into(pair.stream, 1ms, released));
        });
        REQUIRE(released);
        CHECK(released->error == errc::timed_out);
        if (!written) CHECK(sent.error == errc::closed);
        REQUIRE(released->unsent.size() == 1);
        CHECK(released->unsent.front().size() < large.size());

        auto again = adopted_again<over_any>(*released);
        again.set_send_marks({.high_bytes = 2'000'000});
        must(co_await again.write(std::move(released->unsent.front())));
        std::string wire;
        co_await until([&] {
            wire += pair.peer.read_now();
            return wire.size() >= large.size();
        });
        CHECK((wire == large));
    });
}

CONNECTION_TEST_CASE("the_end_of_the_peer_is_there_for_the_next_owner") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_any>();
        CHECK(pair.peer.send("last"));
        pair.peer.close();
        co_await expect(pair.stream, "last");
        const buffer end = must(co_await pair.stream.receive());
        CHECK(end.empty());
        auto released = must(co_await pair.stream.release());
        CHECK_FALSE(released.error);
        const plain_socket next(released.descriptor.take());
        CHECK(how_it_ended(next) == 0);
    });
}

TEST_CASE("what_broke_a_connection_is_told_with_its_descriptor") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_tcp>();
        outcome received;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_and_tell(pair.stream, received));
            co_await settle();
            pair.peer.reset();
        });
        CHECK(received.error == std::errc::connection_reset);
        auto released = must(co_await pair.stream.release());
        CHECK(released.error == std::errc::connection_reset);
        CHECK(released.descriptor);
        if (kernel_under_test::simulation() == nullptr)
            CHECK(error_of(tcp_stream::adopt(released.descriptor.get())) == std::errc::not_connected);
    });
}

TRANSPORT_TEST_CASE("a_direct_descriptor_becomes_an_ordinary_one") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.direct_descriptors = 4;
    on_executor(options, []() -> task<> {
        auto listener =
            must(over_any::listener::bind(over_any::somewhere(), {.socket = {}, .direct_descriptors = true}));
        const plain_socket peer = plain_socket::connected_to(must(listener.local()));
        auto stream = must(co_await listener.accept());
        CHECK(peer.send("x"));
        co_await expect(stream, "x");
        CHECK(peer.send("unread"));
        co_await settle();
        must(co_await stream.write("written"sv));
        auto released = must(co_await stream.release());
        must(co_await listener.close());
        CHECK(executor::current()->direct_descriptors().claimed() == 0);
        auto again = adopted_again<over_any>(released);
        CHECK(again.native_handle() >= 0);
        co_await expect(again, "unread");
        co_await send_all(again, " by both");
        const std::string wire = co_await read_plain(peer, 15);
        CHECK(wire == "written by both");
    });
}

TEST_CASE("a_direct_descriptor_is_released_only_if_there_is_an_ordinary_one", "[linux]") {
    short_of_descriptors kernel;
    executor_options options = options_for(GENERATE(both_modes()));
    options.direct_descriptors = 4;
    executor home(options, kernel);
    home.run([](short_of_descriptors& short_of) -> task<> {
        auto listener =
            must(tcp_listener::bind({"127.0.0.1", 0}, {.socket = {}, .direct_descriptors = true}));
        const plain_socket peer = plain_socket::connected_to(must(listener.local()));
        auto stream = must(co_await listener.accept());
        short_of.begin();
        const auto released = co_await stream.release();
        short_of.end();
        CHECK(error_of(released) == std::errc::too_many_files_open);
        CHECK(peer.send("goes on"));
        co_await expect(stream, "goes on");
    }(kernel));
    check_baseline(home);
}
