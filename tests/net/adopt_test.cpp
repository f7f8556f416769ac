// Descriptors that become streams and listeners.
#include "adopted.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Stream> std::error_code refusal_of(int descriptor, byte_spans received = {}) {
    return error_of(Stream::adopt(descriptor, received));
}

template <class Over> plain_socket non_blocking_listener() {
    plain_socket made = plain_socket::listening(Over::somewhere(), 8, Over::stream::kind.type);
    ::fcntl(made.get(), F_SETFL, O_NONBLOCK);
    return made;
}

constexpr std::string_view sixteen_bytes = "0123456789abcdef";

} // namespace

CONNECTION_TEST_CASE("an_adopted_socket_is_one_as_any_other") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_connection<over_any>();
        CHECK(pair.far.send("there before"));
        auto stream = adopted<over_any>(pair.near);
        co_await expect(stream, "there before");
        CHECK(pair.far.send("and later"));
        co_await expect(stream, "and later");
        co_await send_all(stream, "back");
        const std::string back = co_await read_plain(pair.far, 4);
        CHECK(back == "back");
        must(co_await stream.close());
    });
}

TRANSPORT_TEST_CASE("what_was_received_before_comes_first") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_connection<over_any>();
        std::string before;
        while (before.size() < 10'000) before += sixteen_bytes;
        const byte_span pieces[] = {bytes_of_text(before), {}, bytes_of_text("more")};
        CHECK(pair.far.send("from the socket"));
        auto stream = adopted<over_any>(pair.near, pieces);
        std::array<std::byte, 16> first{};
        const std::size_t size = must(co_await stream.receive_into(first));
        CHECK(size == first.size());
        const std::string rest = co_await receive_exactly(stream, before.size() - 16 + 4 + 15);
        CHECK((rest == before.substr(16) + "more" + "from the socket"));
    });
}

TEST_CASE("records_that_were_received_before_keep_their_boundaries") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_connection<over_seqpacket>();
        const byte_span pieces[] = {bytes_of_text("one"), bytes_of_text("two")};
        CHECK(pair.far.send("three"));
        auto stream = adopted<over_seqpacket>(pair.near, pieces);
        const std::array texts{"one"sv, "two"sv, "three"sv};
        for (const std::string_view text : texts) {
            const buffer message = must(co_await stream.receive());
            CHECK(message.text() == text);
        }
    });
}

TEST_CASE("messages_that_cannot_have_been_received_are_refused") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto records = plain_connection<over_seqpacket>();
        const std::string long_one(executor_options().buffers.block_size + 1, 'x');
        const byte_span good_and_long[] = {bytes_of_text("good"), bytes_of_text(long_one)};
        CHECK(refusal_of<seqpacket_stream>(records.near.get(), good_and_long) == std::errc::message_size);
        const byte_span empty[] = {byte_span()};
        CHECK(refusal_of<seqpacket_stream>(records.near.get(), empty) == errc::empty_message);
        auto stream = adopted<over_seqpacket>(records.near);
        co_await send_all(stream, "still open");
    });
}

TEST_CASE("without_room_for_what_was_received_nothing_is_adopted") {
    kernel_under_test kernel;
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers = {.block_size = 64, .blocks = 2, .most_blocks = 4};
    executor home(options, kernel.get());
    home.run([]() -> task<> {
        auto pair = plain_connection<over_tcp>();
        const std::string two_blocks(128, 'x');
        const byte_span fits[] = {bytes_of_text(two_blocks)};
        const byte_span does_not[] = {bytes_of_text(two_blocks), bytes_of_text("y")};
        CHECK(refusal_of<tcp_stream>(pair.near.get(), does_not) == std::errc::no_buffer_space);
        CHECK(executor::current()->broken_invariants().empty());
        auto stream = adopted<over_tcp>(pair.near, fits);
        co_await expect(stream, two_blocks);
        CHECK(pair.far.send("and on"));
        co_await expect(stream, "and on");
    }());
    check_baseline(home);
}

TRANSPORT_TEST_CASE("what_cannot_be_adopted_stays_the_callers_as_it_was") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        using stream = over_any::stream;
        using listener = over_any::listener;
        const plain_socket listening = plain_socket::listening(over_any::somewhere(), 1);
        CHECK(refusal_of<stream>(listening.get()) == errc::is_listening);
        const auto pair = plain_connection<over_any>();
        CHECK(error_of(listener::adopt(pair.near.get())) == errc::not_listening);
        const plain_socket fresh(calls::socket(over_any::somewhere().family(), SOCK_STREAM));
        CHECK(refusal_of<stream>(fresh.get()) == std::errc::not_connected);
        CHECK(error_of(listener::adopt(fresh.get())) == errc::not_listening);
        const auto datagrams = plain_datagrams<over_unix_datagrams>();
        CHECK(refusal_of<stream>(datagrams.near.get()) == std::errc::wrong_protocol_type);
        plain_socket closed = plain_socket::bound(over_any::somewhere(), SOCK_STREAM);
        const int number = closed.get();
        closed.close();
        CHECK(refusal_of<stream>(number) == std::errc::bad_file_descriptor);
        CHECK(refusal_of<stream>(-1) == std::errc::bad_file_descriptor);

        CHECK(pair.far.send("still there")); // and open
        const std::string read = co_await read_plain(pair.near, 11);
        CHECK(read == "still there");
        CHECK(plain_socket::connected_to(listening.local()).open());
    });
}

TEST_CASE("a_socket_of_another_family_is_refused") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const auto local = plain_connection<over_unix>();
        const auto internet = plain_connection<over_tcp>();
        CHECK(refusal_of<tcp_stream>(local.near.get()) == std::errc::address_family_not_supported);
        CHECK(refusal_of<unix_stream>(internet.near.get()) == std::errc::address_family_not_supported);
        co_return;
    });
}

TEST_CASE("a_file_is_refused", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const owned_descriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        CHECK(refusal_of<tcp_stream>(file.get()) == std::errc::not_a_socket);
        CHECK(error_of(tcp_listener::adopt(file.get())) == std::errc::not_a_socket);
        CHECK(::fcntl(file.get(), F_GETFD) >= 0);
        co_return;
    });
}

TEST_CASE("nothing_is_adopted_outside_of_an_executor") {
    const kernel_under_test kernel;
    const auto pair = plain_connection<over_tcp>();
    CHECK(refusal_of<tcp_stream>(pair.near.get()) == std::errc::operation_not_permitted);
    CHECK(error_of(tcp_listener::adopt(pair.near.get())) == std::errc::operation_not_permitted);
}

TRANSPORT_TEST_CASE("a_descriptor_belongs_to_one_stream_or_listener") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto made = plain_connection<over_any>();
        const int number = made.near.get();
        auto stream = adopted<over_any>(made.near);
        CHECK(refusal_of<over_any::stream>(number) == errc::already_owned);
        auto pair = co_await connected<over_any>();
        CHECK(refusal_of<over_any::stream>(pair.near.native_handle()) == errc::already_owned);
        CHECK(refusal_of<over_any::stream>(pair.far.native_handle()) == errc::already_owned);
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        CHECK(error_of(over_any::listener::adopt(listener.native_handle())) == errc::already_owned);
        must(co_await stream.close());

        auto next = plain_connection<over_any>(); // one of the two has the number again
        auto again = adopted<over_any>(next.near);
        co_await send_all(again, "fine");
        const std::string read = co_await read_plain(next.far, 4);
        CHECK(read == "fine");
    });
}

TEST_CASE("a_number_may_be_adopted_as_soon_as_the_kernel_has_closed_it_for_its_last_owner", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto made = plain_connection<over_tcp>();
        const int number = made.near.get();
        adopted<over_tcp>(made.near).abort();
        // Its close has been submitted; who waits for it goes on in a later turn than this task.
        co_await until_at_turn_begin([number] { return ::fcntl(number, F_GETFD) < 0; });
        auto next = plain_connection<over_tcp>();
        if (next.near.get() != number) {
            REQUIRE(::dup2(next.near.get(), number) == number);
            next.near = plain_socket(number);
        }
        auto stream = adopted<over_tcp>(next.near);
        co_await send_all(stream, "fine");
    });
}

CONNECTION_TEST_CASE("an_adopted_listener_accepts") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const int type = over_any::stream::kind.type;
        plain_socket made = plain_socket::listening(over_any::somewhere(), 8, type);
        const endpoint at = made.local();
        const plain_socket early = plain_socket::connected_to(at, 0, type);
        auto listener = must(over_any::listener::adopt(made.get()));
        (void)made.take();
        CHECK(must(listener.local()) == at);
        auto first = must(co_await listener.accept());
        CHECK(early.send("early"));
        co_await expect(first, "early");
        auto all = listener.connections();
        const plain_socket late = plain_socket::connected_to(at, 0, type);
        auto second = must(co_await all.next());
        co_await send_all(second, "late");
        const std::string read = co_await read_plain(late, 4);
        CHECK(read == "late");
        must(co_await listener.close());
    });
}

TEST_CASE("an_adopted_listener_heeds_its_limit_of_connections") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        plain_socket made = plain_socket::listening({"127.0.0.1", 0}, 8);
        const plain_socket one = plain_socket::connected_to(made.local());
        const plain_socket two = plain_socket::connected_to(made.local());
        auto listener = must(tcp_listener::adopt(made.get(), {.socket = {}, .max_connections = 1}));
        (void)made.take();
        auto first = must(co_await listener.accept());
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, told));
            co_await settle();
            CHECK_FALSE(told.done);
            must(co_await first.close());
        });
        CHECK(told.done);
        CHECK_FALSE(told.error);
    });
}

TEST_CASE("an_adopted_listener_accepts_into_direct_descriptors_where_there_are_any", "[linux]") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.direct_descriptors = GENERATE(0U, 4U);
    on_executor(options, []() -> task<> {
        plain_socket made = plain_socket::listening({"127.0.0.1", 0}, 8);
        const plain_socket peer = plain_socket::connected_to(made.local());
        auto listener = tcp_listener::adopt(made.get(), {.socket = {}, .direct_descriptors = true});
        if (executor::current()->direct_descriptors().places() == 0) {
            CHECK(error_of(listener) == std::errc::operation_not_supported);
            co_return;
        }
        (void)made.take();
        auto stream = must(co_await listener->accept());
        CHECK(stream.native_handle() == -1);
        CHECK(peer.send("direct"));
        co_await expect(stream, "direct");
    });
}

TEST_CASE("the_path_of_an_adopted_listener_stays", "[linux]") {
    const std::string path = "/tmp/" + unique_name();
    const endpoint at = must(endpoint::from_path(path));
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        plain_socket made = plain_socket::listening(at, 1);
        auto listener = must(unix_listener::adopt(made.get()));
        (void)made.take();
        must(co_await listener.close());
        CHECK(::access(path.c_str(), F_OK) == 0);
    });
    ::unlink(path.c_str());
}

TEST_CASE("an_adopted_descriptor_becomes_close_on_exec", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_connection<over_tcp>();
        ::fcntl(pair.near.get(), F_SETFD, 0);
        const auto stream = adopted<over_tcp>(pair.near);
        CHECK(::fcntl(stream.native_handle(), F_GETFD) == FD_CLOEXEC);
        co_return;
    });
}

// Everything that could wait does, and the flag stays.
CONNECTION_TEST_CASE("a_descriptor_that_does_not_block_works_all_the_same", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_connection<over_any>();
        ::fcntl(pair.near.get(), F_SETFL, O_NONBLOCK);
        const int small = 4096;
        ::setsockopt(pair.near.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        auto stream = adopted<over_any>(pair.near);
        std::array<std::byte, 16> memory{};
        std::size_t into_memory = 0;
        std::string leased;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(
                [](auto& from, std::span<std::byte> into, std::size_t& size, std::string& text) -> task<> {
                    size = must(co_await from.receive_into(into));
                    const buffer chunk = must(co_await from.receive());
                    text = chunk.text();
                }(stream, memory, into_memory, leased));
            co_await settle();
            CHECK(pair.far.send("into memory"));
            co_await settle();
            CHECK(pair.far.send("leased"));
        });
        CHECK(into_memory == 11);
        CHECK(leased == "leased");
        const std::string large(100'000, 'x');
        std::size_t arrived = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, std::string_view all) -> task<> {
                for (; !all.empty(); all.remove_prefix(1000)) must(co_await to.send(all.substr(0, 1000)));
            }(stream, large));
            co_await until([&] { return (arrived += pair.far.read_now().size()) >= large.size(); });
        });
        CHECK(arrived == large.size());
        CHECK((::fcntl(stream.native_handle(), F_GETFL) & O_NONBLOCK) != 0);
    });
}

TRANSPORT_TEST_CASE("a_listener_that_does_not_block_waits_for_connections", "[linux]") {
    const bool ahead = GENERATE(false, true);
    on_executor(GENERATE(both_modes()), [ahead]() -> task<> {
        plain_socket made = non_blocking_listener<over_any>();
        const endpoint at = made.local();
        auto listener = must(over_any::listener::adopt(made.get()));
        (void)made.take();
        std::optional<connection_stream<over_any::stream>> all;
        if (ahead) all.emplace(listener);
        outcome told;
        plain_socket peer;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, told));
            co_await settle();
            CHECK_FALSE(told.done);
            const std::uint64_t sqes = executor::current()->stats().sqes;
            co_await settle();
            CHECK(executor::current()->stats().sqes - sqes < 100); // those of `settle`
            peer = plain_socket::connected_to(at);
        });
        CHECK_FALSE(told.error);
    });
}

// As several processes do that accept from one listener.
TRANSPORT_TEST_CASE(
    "a_listener_that_does_not_block_waits_on_however_often_others_take_what_came", "[linux]") {
    on_executor(task_work_mode::throughput, []() -> task<> { // else it accepts ahead of the others
        plain_socket made = non_blocking_listener<over_any>();
        const endpoint at = made.local();
        auto listener = must(over_any::listener::adopt(made.get()));
        (void)made.take();
        outcome told;
        plain_socket peer;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, told));
            co_await settle();
            // A worker thread, which the kernel lets try it in the end, may be faster than the thief.
            for (int thefts = 0; thefts < 500 && !told.done; ++thefts) {
                const plain_socket other = plain_socket::connected_to(at);
                pollfd arrived{.fd = listener.native_handle(), .events = POLLIN, .revents = 0};
                ::poll(&arrived, 1, 1000);
                const owned_descriptor taken(::accept4(arrived.fd, nullptr, nullptr, SOCK_CLOEXEC));
                co_await one_turn();
            }
            peer = plain_socket::connected_to(at);
        });
        CHECK_FALSE(told.error);
    });
}

TEST_CASE("an_owned_descriptor_is_empty_once_it_is_adopted") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        kernel& behind = executor::current()->behind();
        auto pair = plain_connection<over_tcp>();
        owned_descriptor owned(pair.near.take(), behind);
        CHECK(error_of(unix_stream::adopt(std::move(owned))) == std::errc::address_family_not_supported);
        CHECK(owned); // NOLINT(bugprone-use-after-move): not where it is refused
        auto stream = must(tcp_stream::adopt(std::move(owned)));
        CHECK_FALSE(owned); // NOLINT(bugprone-use-after-move)
        co_await send_all(stream, "whole");
        const std::string read = co_await read_plain(pair.far, 5);
        CHECK(read == "whole");
    });
}
