// Descriptors that leave their streams and listeners, with all that belongs to them.
#include "adopted.hpp"
#include "short_of_descriptors.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Over> task<stream_and_peer<Over>> adopted_pair(int send_buffer = 0) {
    auto pair = plain_connection<Over>();
    if (send_buffer != 0) pair.near.set(SOL_SOCKET, SO_SNDBUF, send_buffer);
    if (send_buffer != 0) pair.far.set(SOL_SOCKET, SO_RCVBUF, send_buffer);
    auto stream = adopted<Over>(pair.near);
    co_return stream_and_peer<Over>{std::move(stream), std::move(pair.far)};
}

template <class Stream> task<> release_into(Stream& from, duration limit, result<released_stream>& into) {
    into = co_await from.release(limit);
}

template <class Stream> task<> send_until_released(Stream& to, std::string text, outcome& told) {
    const auto sent = co_await to.send(std::string_view(text));
    told = {.done = true, .error = error_of(sent)};
}

template <class Stream> task<> receive_and_tell(Stream& from, outcome& told) {
    const auto received = co_await from.receive();
    told = {.done = true, .error = error_of(received)};
}

// The next owner of a descriptor and of what came with it.
template <class Over> typename Over::stream adopted_again(released_stream& released) {
    std::vector<byte_span> pieces;
    for (const buffer& each : released.received) pieces.emplace_back(each.bytes());
    auto made = must(Over::stream::adopt(std::move(released.descriptor), pieces));
    released.received.clear();
    return made;
}

} // namespace

TEMPLATE_TEST_CASE(
    "a_released_descriptor_goes_on_with_all_that_was_received_and_not_taken", "", EACH_SOCKET) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>();
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
        if (TestType::stream::kind.type != SOCK_STREAM)
            CHECK(texts_of(released.received) == std::vector<std::string>{"one", "two"});
        const std::string written = co_await read_plain(pair.peer, 7);
        CHECK(written == "written");

        CHECK(pair.peer.send("three"));
        auto again = adopted_again<TestType>(released);
        co_await expect(again, "onetwothree");
        co_await send_all(again, "answer");
        const std::string answer = co_await read_plain(pair.peer, 6);
        CHECK(answer == "answer");
        must(co_await again.close());
    });
}

TEMPLATE_TEST_CASE("what_was_taken_in_part_is_handed_over_from_there", "", EACH_TRANSPORT) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>();
        CHECK(pair.peer.send("x"));
        co_await expect(pair.stream, "x");
        CHECK(pair.peer.send("headbody"));
        std::array<std::byte, 4> head{};
        const std::size_t size = must(co_await pair.stream.receive_into(head));
        CHECK(size == 4);
        auto released = must(co_await pair.stream.release());
        auto again = adopted_again<TestType>(released);
        co_await expect(again, "body");
    });
}

TEMPLATE_TEST_CASE("a_peer_notices_nothing_of_a_release", "", EACH_CONNECTION) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>();
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

TEMPLATE_TEST_CASE(
    "what_cannot_be_sent_within_the_limit_is_reported", "", over_tcp, over_unix, over_seqpacket,
    over_unix_datagrams) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>(4096);
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
        if (TestType::stream::kind.type != SOCK_STREAM) CHECK(released->unsent.size() == 2);

        auto again = adopted_again<TestType>(*released);
        for (auto& each : released->unsent) must(co_await again.write(std::move(each)));
        std::string wire;
        co_await until([&] {
            wire += pair.peer.read_now();
            return wire.size() >= dots + 11;
        });
        CHECK(wire.substr(dots) == "firstsecond");
    });
}

TEMPLATE_TEST_CASE("the_rest_of_a_message_that_is_partly_on_the_wire_is_handed_over", "", EACH_TRANSPORT) {
    const bool written = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [written]() -> task<> {
        auto pair = co_await adopted_pair<TestType>(65'536);
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

        auto again = adopted_again<TestType>(*released);
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

TEMPLATE_TEST_CASE("a_cancelled_release_waits_no_longer_and_has_the_descriptor", "", EACH_TRANSPORT) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"sv));
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            co_await settle();
            group.cancel();
        });
        REQUIRE(released);
        CHECK(released->error == errc::cancelled);
        CHECK(texts_of(released->unsent) == std::vector<std::string>{"never read"});
        CHECK(released->descriptor);
    });
}

TEST_CASE("a_deadline_of_a_release_is_a_cancellation_with_the_descriptor") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<over_unix>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("never read"sv));
        const auto released = must(co_await timeout(1ms, pair.stream.release(1h)));
        CHECK(released.error == errc::cancelled);
        CHECK(released.descriptor);
        CHECK(texts_of(released.unsent) == std::vector<std::string>{"never read"});
    });
}

TEMPLATE_TEST_CASE("a_release_that_is_cancelled_before_it_begins_changes_nothing", "", EACH_TRANSPORT) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>();
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            group.cancel();
            co_return;
        });
        CHECK(error_of(released) == errc::cancelled);
        CHECK(pair.peer.send("still open"));
        co_await expect(pair.stream, "still open");
    });
}

TEMPLATE_TEST_CASE("who_receives_is_told_that_this_side_has_closed_and_what_comes_is_kept", "", EACH_SOCKET) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>();
        outcome received;
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_and_tell(pair.stream, received));
            co_await settle();
            CHECK(pair.peer.send("too late for it")); // reaped in the turn in which the release begins
            group.spawn(release_into(pair.stream, 1h, released));
        });
        REQUIRE(released);
        if (received.error) {
            CHECK(received.error == errc::closed);
            auto again = adopted_again<TestType>(*released);
            co_await expect(again, "too late for it");
        } else {
            CHECK(released->received.empty());
        }
    });
}

TEMPLATE_TEST_CASE("who_receives_into_memory_gets_what_the_kernel_gave_to_it", "", EACH_CONNECTION) {
    const bool sends = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [sends]() -> task<> {
        auto pair = co_await adopted_pair<TestType>();
        std::array<std::byte, 16> memory{};
        result<std::size_t> received;
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, std::span<std::byte> into, result<std::size_t>& size) -> task<> {
                size = co_await from.receive_into(into);
            }(pair.stream, memory, received));
            co_await settle();
            if (sends) CHECK(pair.peer.send("there"));
            group.spawn(release_into(pair.stream, 1h, released));
        });
        REQUIRE(released);
        if (received) {
            CHECK(*received == 5);
            CHECK(released->received.empty());
        } else {
            CHECK(received.error() == errc::closed);
            auto again = adopted_again<TestType>(*released);
            if (sends) co_await expect(again, "there");
        }
    });
}

TEMPLATE_TEST_CASE("a_stream_is_released_once", "", EACH_TRANSPORT) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("queued"sv));
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            co_await settle();
            const auto again = co_await pair.stream.release();
            CHECK(error_of(again) == errc::closed);
            const auto closed = co_await pair.stream.close();
            CHECK(error_of(closed) == errc::closed);
            const auto sent = co_await pair.stream.send("late"sv);
            CHECK(error_of(sent) == errc::closed);
            const auto received = co_await pair.stream.receive();
            CHECK(error_of(received) == errc::closed);
            co_await until([&] {
                pair.peer.read_now();
                return released.has_value() && released->descriptor;
            });
        });
        CHECK_FALSE(released->error);
        const auto after = co_await pair.stream.release();
        CHECK(error_of(after) == errc::closed);
        const auto of_nothing = co_await typename TestType::stream().release();
        CHECK(error_of(of_nothing) == errc::closed);
    });
}

TEMPLATE_TEST_CASE("an_abort_ends_a_release", "", EACH_TRANSPORT) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("queued"sv));
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            co_await settle();
            pair.stream.abort();
        });
        CHECK(error_of(released) == errc::closed);
        co_await until([] { return executor::current()->stats().pending_closes == 0; });
        if (TestType::tcp) CHECK(how_it_ended(pair.peer) == ECONNRESET);
    });
}

TEMPLATE_TEST_CASE("a_release_that_is_destroyed_closes", "", EACH_TRANSPORT) {
    const bool congested = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [congested]() -> task<> {
        auto pair = co_await adopted_pair<TestType>(4096);
        CHECK(pair.peer.send("x"));
        co_await expect(pair.stream, "x");
        CHECK(pair.peer.send("unread"));
        const std::size_t dots = congested ? co_await congest(pair) : 0;
        must(co_await pair.stream.write("last words"sv));
        {
            cancel_scope& here = co_await this_scope{};
            result<released_stream> released;
            std::optional<task_group> group(std::in_place, here);
            group->spawn(release_into(pair.stream, 1h, released));
            co_await pass();
            if (congested) co_await settle();
            group.reset();
        }
        CHECK_FALSE(pair.stream.is_open());
        if (congested) {
            const std::string wire = co_await read_plain_to_end(pair.peer);
            CHECK(wire.substr(dots) == "last words");
        }
        pair.peer.close();
    });
}

TEMPLATE_TEST_CASE("a_release_outlives_its_stream", "", EACH_TRANSPORT) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>(4096);
        co_await congest(pair);
        must(co_await pair.stream.write("queued"sv));
        result<released_stream> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_into(pair.stream, 1h, released));
            co_await settle();
            {
                const auto dropped = std::move(pair.stream);
            }
            co_await until([&] {
                pair.peer.read_now();
                return released.has_value() && released->descriptor;
            });
        });
        CHECK_FALSE(released->error);
        auto again = adopted_again<TestType>(*released);
        CHECK(pair.peer.send("still connected"));
        co_await expect(again, "still connected");
    });
}

TEMPLATE_TEST_CASE("the_end_of_the_peer_is_there_for_the_next_owner", "", EACH_CONNECTION) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await adopted_pair<TestType>();
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

TEMPLATE_TEST_CASE("a_direct_descriptor_becomes_an_ordinary_one", "", EACH_TRANSPORT) {
    executor_options options = options_for(GENERATE(both_modes()));
    options.direct_descriptors = 4;
    on_executor(options, []() -> task<> {
        auto listener =
            must(TestType::listener::bind(TestType::somewhere(), {.socket = {}, .direct_descriptors = true}));
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
        auto again = adopted_again<TestType>(released);
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

TEMPLATE_TEST_CASE("a_released_listener_goes_on_listening_and_loses_no_connection", "", EACH_CONNECTION) {
    const bool into_direct = GENERATE(false, true);
    executor_options options = options_for(GENERATE(both_modes()));
    options.direct_descriptors = 8;
    on_executor(options, [into_direct]() -> task<> {
        constexpr int type = TestType::stream::kind.type;
        auto listener = must(TestType::listener::bind(
            TestType::somewhere(), {.socket = {}, .direct_descriptors = into_direct}));
        const endpoint at = must(listener.local());
        std::vector<plain_socket> peers;
        const auto connect = [&](std::string_view text) {
            peers.push_back(plain_socket::connected_to(at, 0, type));
            CHECK(peers.back().send(text));
        };
        std::optional<connection_stream<typename TestType::stream>> all(listener);
        connect("first");
        {
            auto first = must(co_await all->next());
            co_await expect(first, "first");
        }
        connect("second");
        connect("third");
        co_await settle(); // they are accepted ahead
        outcome told;
        connect("fourth"); // may be, or stays in the backlog
        auto released = must(co_await listener.release());
        CHECK_FALSE(listener.is_open());
        CHECK(released.accepted.size() >= 2);
        connect("fifth");
        co_await scope([&](task_group& group) -> task<> { // its listener is gone
            group.spawn(accept_one(listener, told));
            co_return;
        });
        CHECK(told.error == errc::closed);

        auto again = must(TestType::listener::adopt(std::move(released.descriptor)));
        while (released.accepted.size() < 4) {
            auto next = must(co_await again.accept());
            released.accepted.push_back(std::move(next));
        }
        const std::array texts{"second"sv, "third"sv, "fourth"sv, "fifth"sv};
        for (std::size_t each = 0; each < texts.size(); ++each)
            co_await expect(released.accepted[each], std::string(texts[each]));
    });
}

TEMPLATE_TEST_CASE("who_accepts_from_a_released_listener_is_told", "", EACH_TRANSPORT) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(TestType::listener::bind(TestType::somewhere()));
        outcome told;
        std::optional<released_listener<typename TestType::stream>> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, told));
            co_await settle();
            auto taken = must(co_await listener.release());
            released.emplace(std::move(taken));
        });
        CHECK(told.error == errc::closed);
        CHECK(released->accepted.empty());
        const auto twice = co_await listener.release();
        CHECK(error_of(twice) == errc::closed);
    });
}

TEST_CASE("a_released_unix_listener_keeps_its_path", "[linux]") {
    const std::string path = "/tmp/" + unique_name();
    const endpoint at = must(endpoint::from_path(path));
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto listener = must(unix_listener::bind(at));
        auto released = must(co_await listener.release());
        CHECK(plain_socket::connected_to(at).open());
        ::unlink(path.c_str());
    });
}

TEMPLATE_TEST_CASE("a_release_of_a_listener_that_is_destroyed_closes_it", "", EACH_TRANSPORT) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(TestType::listener::bind(TestType::somewhere()));
        const auto all = listener.connections();
        co_await settle();
        const plain_socket peer = plain_socket::connected_to(must(listener.local()));
        {
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            group.spawn([](auto& from) -> task<> { (void)co_await from.release(); }(listener));
            co_await pass();
        }
        const std::string nothing = co_await read_plain_to_end(peer);
        CHECK(nothing.empty());
    });
}
