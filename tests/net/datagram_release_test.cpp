// What leaves a datagram socket with its descriptor: what was received and not taken, and what could not be sent.
#include "adopted.hpp"
#include "runtime/steps.hpp"

#include <net/if.h>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Over> struct datagrams_and_peer {
    typename Over::socket socket;
    plain_socket peer;
};

template <class Over> datagrams_and_peer<Over> released_pair() {
    auto pair = plain_datagrams<Over>();
    auto socket = must(Over::socket::adopt(pair.near.get()));
    (void)pair.near.take();
    return {std::move(socket), std::move(pair.far)};
}

template <class Socket>
task<> release_datagrams_into(Socket& from, duration limit, result<released_datagrams>& into) {
    into = co_await from.release(limit);
}

std::vector<std::string> texts_of(const std::vector<datagram>& received) {
    std::vector<std::string> all;
    for (const datagram& each : received) all.emplace_back(each.text());
    return all;
}
std::vector<std::string> texts_of(const std::vector<unsent_datagram>& unsent) {
    std::vector<std::string> all;
    for (const unsent_datagram& each : unsent)
        all.emplace_back(reinterpret_cast<const char*>(each.payload.data()), each.payload.size());
    return all;
}

datagram_send_options options_after(const datagram_send_options& options, int family) {
    datagram_envelope envelope({}, options, family);
    return datagram_envelope::options_of(envelope.control());
}

} // namespace

TEMPLATE_TEST_CASE("datagrams_that_nobody_took_go_with_the_descriptor", "", EACH_KIND) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = released_pair<TestType>();
        const endpoint from = pair.peer.local();
        CHECK(pair.peer.send("taken"));
        const datagram taken = must(co_await pair.socket.receive()); // the receive stays armed
        CHECK(taken.text() == "taken");
        const std::array<std::string_view, 4> sent{"one", "", "two", "three"};
        for (const std::string_view text : sent) CHECK(pair.peer.send(text));
        co_await until([] { return executor::current()->stats().bytes_received >= 5 + 3; });
        must(co_await pair.socket.write("written"));
        auto released = must(co_await pair.socket.release());
        CHECK_FALSE(pair.socket.is_open());
        CHECK_FALSE(released.error);
        CHECK(released.unsent.empty());
        std::vector<std::string> all = texts_of(released.received);
        REQUIRE_FALSE(all.empty());
        for (const datagram& each : released.received) CHECK(each.from() == from);
        const std::string written = co_await read_plain(pair.peer, 7);
        CHECK(written == "written");

        auto next = must(TestType::socket::adopt(std::move(released.descriptor)));
        while (all.size() < sent.size()) { // what the empty one has ended the receive for
            const datagram rest = must(co_await next.receive());
            all.emplace_back(rest.text());
        }
        CHECK(all == std::vector<std::string>(sent.begin(), sent.end()));
        must(co_await next.send("goes on"));
        const std::string read = co_await read_plain(pair.peer, 7);
        CHECK(read == "goes on");
    });
}

TEST_CASE("datagrams_that_find_no_room_go_with_the_descriptor_and_say_where_to", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver slow(over_unix_datagrams::somewhere());
        auto socket = must(unix_datagram::bind(over_unix_datagrams::somewhere()));
        {
            const plain_socket others = plain_socket::connected_to(slow.local(), 0, SOCK_DGRAM);
            others.fill();
        }
        must(co_await socket.write_to(slow.local(), "first"));
        must(co_await socket.write_to(slow.local(), ""));
        must(co_await socket.write_to(slow.local(), "third"));
        outcome sent;
        result<released_datagrams> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](unix_datagram& from, endpoint to, outcome& told) -> task<> {
                const auto awaited = co_await from.send_to(to, "awaited");
                told = {.done = true, .error = error_of(awaited)};
            }(socket, slow.local(), sent));
            co_await settle();
            group.spawn(release_datagrams_into(socket, 1ms, released));
        });
        REQUIRE(released);
        CHECK(released->error == errc::timed_out);
        CHECK(sent.error == errc::closed);
        CHECK(texts_of(released->unsent) == std::vector<std::string>{"first", "", "third"});
        for (const unsent_datagram& each : released->unsent) CHECK(each.to == slow.local());

        auto next = must(unix_datagram::adopt(std::move(released->descriptor)));
        for (unsent_datagram& each : released->unsent)
            must(co_await next.write_to(each.to, std::move(each.payload), each.options));
        const std::array<std::string_view, 3> expected{"first", "", "third"};
        std::size_t arrived = 0;
        co_await until([&] {
            const std::optional<std::string> got = slow.next();
            if (got && got->find('.') == std::string::npos) {
                CHECK(*got == expected[arrived]);
                ++arrived;
            }
            return arrived == expected.size();
        });
    });
}

TEST_CASE("a_released_socket_without_unsent_datagrams_that_bring_descriptors", "[linux]") {
    const std::size_t before = open_descriptors();
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const pipe_ends pipe;
        auto pair = released_pair<over_unix_datagrams>();
        fill(pair.socket.native_handle());
        const std::array<int, 1> one{pipe.reading()};
        must(co_await pair.socket.write("plain"));
        must(co_await pair.socket.write("with a descriptor", {.descriptors = one}));
        const auto released = must(co_await pair.socket.release(1ms));
        CHECK(released.error == errc::timed_out);
        CHECK(texts_of(released.unsent) == std::vector<std::string>{"plain"});
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("descriptors_that_came_with_a_datagram_go_with_it", "[linux]") {
    const std::size_t before = open_descriptors();
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const pipe_ends pipe;
        unix_datagram server =
            must(unix_datagram::bind(over_unix_datagrams::somewhere(), {.descriptors = 1}));
        unix_datagram client = must(unix_datagram::connect(must(server.local())));
        const std::array<int, 1> one{pipe.reading()};
        must(co_await client.send("first"));
        const datagram first = must(co_await server.receive());
        CHECK(first.descriptors.empty());
        must(co_await client.send("with one", {.descriptors = one}));
        must(co_await client.send("with one", {.descriptors = one}));
        co_await until([] { return executor::current()->stats().bytes_received == 5 + 8 + 8; });
        const auto released = must(co_await server.release());
        CHECK(texts_of(released.received) == std::vector<std::string>{"with one", "with one"});
        for (const datagram& each : released.received) CHECK(each.descriptors.size() == 1);
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("what_a_datagram_was_to_be_sent_with_is_known_to_the_next_owner") {
    datagram_send_options options;
    options.segment_size = 1200;
    options.traffic_class = std::uint8_t{0x2e};
    options.interface = 3;
    const std::array<std::pair<endpoint, int>, 2> sources{
        std::pair{endpoint("127.0.0.2", 0), AF_INET}, std::pair{endpoint("::1", 0), AF_INET6}};
    for (const auto& [source, family] : sources) {
        options.source = source;
        const datagram_send_options same = options_after(options, family);
        CHECK(same.segment_size == options.segment_size);
        CHECK(same.traffic_class == options.traffic_class);
        CHECK(same.source == source);
        CHECK(same.interface == options.interface);
    }
    for (const int family : {AF_INET, AF_INET6}) {
        const datagram_send_options by_interface = options_after({.interface = 2}, family);
        CHECK(by_interface.interface == 2);
        CHECK(by_interface.source.family() == AF_UNSPEC);
        const datagram_send_options nothing = options_after({}, family);
        CHECK(nothing.segment_size == 0);
        CHECK_FALSE(nothing.traffic_class.has_value());
        CHECK(nothing.interface == 0);
        CHECK(nothing.source.family() == AF_UNSPEC);
    }
}

TEMPLATE_TEST_CASE("who_waits_for_a_datagram_is_told_of_the_release_and_what_comes_is_kept", "", EACH_KIND) {
    const bool into_memory = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [into_memory]() -> task<> {
        auto pair = released_pair<TestType>();
        result<std::string> received = failure(errc::busy);
        result<released_datagrams> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& from, bool direct, result<std::string>& text) -> task<> {
                if (direct) {
                    std::array<std::byte, 16> memory{};
                    const auto placed = co_await from.receive_into(memory);
                    if (placed)
                        text =
                            std::string(reinterpret_cast<const char*>(memory.data()), placed->payload.size());
                    else
                        text = failure(placed.error());
                } else {
                    const auto got = co_await from.receive();
                    if (got)
                        text = std::string(got->text());
                    else
                        text = failure(got.error());
                }
            }(pair.socket, into_memory, received));
            co_await settle();
            CHECK(pair.peer.send("late")); // reaped in the turn in which the release begins
            group.spawn(release_datagrams_into(pair.socket, 1h, released));
        });
        REQUIRE(released);
        std::vector<std::string> all = texts_of(released->received);
        if (received)
            all.push_back(*received);
        else
            CHECK(received.error() == errc::closed);
        if (all.empty()) {
            auto next = must(TestType::socket::adopt(std::move(released->descriptor)));
            const datagram rest = must(co_await next.receive());
            all.emplace_back(rest.text());
        }
        CHECK(all == std::vector<std::string>{"late"});
    });
}

TEST_CASE("a_released_socket_of_datagrams_tells_what_became_of_one_before", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = released_pair<over_udp>();
        CHECK(pair.peer.send("first"));
        const datagram first = must(co_await pair.socket.receive());
        CHECK(first.text() == "first");
        pair.peer.close();
        must(co_await pair.socket.send("nobody"));
        co_await settle(); // the receive that is armed hears of it
        const auto released = must(co_await pair.socket.release());
        CHECK(released.error == std::errc::connection_refused);
        CHECK(released.unsent.empty());
    });
}

TEST_CASE("a_socket_of_datagrams_is_released_once") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = released_pair<over_unix_datagrams>();
        fill(pair.socket.native_handle());
        must(co_await pair.socket.write("never read"));
        result<released_datagrams> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(release_datagrams_into(pair.socket, 1h, released));
            co_await settle();
            const auto again = co_await pair.socket.release();
            CHECK(error_of(again) == errc::closed);
            const auto closed = co_await pair.socket.close();
            CHECK(error_of(closed) == errc::closed);
            const auto late = co_await pair.socket.send("late");
            CHECK(error_of(late) == errc::closed);
            const auto received = co_await pair.socket.receive();
            CHECK(error_of(received) == errc::closed);
            group.cancel(); // it waits no longer
        });
        REQUIRE(released);
        CHECK(released->error == errc::cancelled);
        CHECK(texts_of(released->unsent) == std::vector<std::string>{"never read"});
        CHECK(released->descriptor);
        const auto of_nothing = co_await unix_datagram().release();
        CHECK(error_of(of_nothing) == errc::closed);
    });
}

TEST_CASE("the_path_of_a_released_socket_of_datagrams_stays", "[linux]") {
    const std::string path = "/tmp/" + unique_name();
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        unix_datagram socket = must(unix_datagram::bind(must(endpoint::from_path(path))));
        auto released = must(co_await socket.release());
        CHECK(::access(path.c_str(), F_OK) == 0);
        const plain_socket peer = plain_socket::connected_to(must(endpoint::from_path(path)), 0, SOCK_DGRAM);
        auto next = must(unix_datagram::adopt(std::move(released.descriptor)));
        CHECK(peer.send("found"));
        const datagram got = must(co_await next.receive());
        CHECK(got.text() == "found");
        ::unlink(path.c_str());
    });
}
