// Unix datagrams: who has sent them, what descriptors came along, and receivers that are slow.
#include "datagrams.hpp"
#include "runtime/steps.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

endpoint a_name() {
    return endpoint::from_abstract_name(unique_name()).value();
}

std::string count_of(int number) {
    return "number " + std::to_string(number);
}

} // namespace

TEST_CASE("a_unix_datagram_says_who_has_sent_it", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        unix_datagram server = must(unix_datagram::bind(a_name(), {.credentials = true}));
        unix_datagram client = must(unix_datagram::bind(a_name()));
        unix_datagram nobody = must(unix_datagram::connect(must(server.local())));
        must(co_await client.send_to(must(server.local()), "hello"));
        const datagram got = must(co_await server.receive());
        CHECK(got.text() == "hello");
        CHECK(got.from() == must(client.local()));
        const auto sender = got.control().sender();
        REQUIRE(sender.has_value());
        CHECK(sender->process == ::getpid());
        CHECK(sender->user == ::getuid());
        CHECK_FALSE(got.control_truncated());
        must(co_await server.send_to(got.from(), "and back"));
        const datagram back = must(co_await client.receive());
        CHECK(back.text() == "and back");
        CHECK(back.from() == must(server.local()));
        must(co_await nobody.send("nameless"));
        const datagram nameless = must(co_await server.receive());
        CHECK(nameless.text() == "nameless");
        CHECK(nameless.from().path().empty());
    });
}

TEST_CASE("descriptors_come_with_a_datagram_and_close_unless_they_are_taken", "[linux]") {
    const std::size_t before = open_descriptors();
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const pipe_ends pipe;
        unix_datagram server = must(unix_datagram::bind(a_name(), {.credentials = true, .descriptors = 2}));
        unix_datagram client = must(unix_datagram::connect(must(server.local())));
        const std::array<int, 2> both{pipe.reading(), pipe.reading()};
        must(co_await client.send("two", {.descriptors = both}));
        datagram got = must(co_await server.receive());
        CHECK(got.text() == "two");
        REQUIRE(got.descriptors.size() == 2);
        CHECK_FALSE(got.control_truncated());
        CHECK(is_same_file(got.descriptors[0].get(), pipe.reading()));
        CHECK((::fcntl(got.descriptors[1].get(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(got.control().sender().has_value());

        const std::array<int, 5> more{both[0], both[0], both[0], both[0], both[0]};
        must(co_await client.send("five", {.descriptors = more}));
        const datagram some = must(co_await server.receive());
        CHECK(some.control_truncated());
        CHECK(some.descriptors.size() == 2);
        CHECK(some.text() == "five");

        std::array<std::byte, 10> memory{};
        must(co_await client.send("into memory", {.descriptors = both}));
        const datagram cut = must(co_await server.receive()); // what is armed already is faster
        CHECK(cut.descriptors.size() == 2);
        unix_datagram other = must(unix_datagram::bind(a_name(), {.descriptors = 1}));
        must(co_await client.send_to(must(other.local()), "into memory", {.descriptors = both}));
        const placed_datagram placed = must(co_await other.receive_into(memory));
        CHECK(placed.truncated);
        CHECK(placed.control_truncated);
        CHECK(placed.descriptors.size() == 1);

        const int closed[] = {-1};
        const auto refused = co_await client.send("closed", {.descriptors = closed});
        CHECK(error_of(refused) == std::errc::bad_file_descriptor);

        // Received by nobody: in the queue, and in the socket.
        for (int number = 0; number < 4; ++number)
            must(co_await client.send("for nobody", {.descriptors = both}));
        const datagram one = must(co_await server.receive());
        CHECK(one.descriptors.size() == 2);
        co_await settle();
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("descriptors_that_arrive_after_their_receiver_is_gone_are_closed", "[linux]") {
    const std::size_t before = open_descriptors();
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const pipe_ends pipe;
        const std::array<int, 1> one{pipe.reading()};
        for (int round = 0; round < 20; ++round) {
            unix_datagram server = must(unix_datagram::bind(a_name(), {.descriptors = 1}));
            unix_datagram client = must(unix_datagram::connect(must(server.local())));
            std::array<std::byte, 10> memory{};
            cancel_scope& here = co_await this_scope{};
            std::optional<task_group> group(std::in_place, here);
            group->spawn([](unix_datagram& from, std::span<std::byte> into, bool is_block) -> task<> {
                if (is_block) {
                    (void)co_await from.receive();
                } else {
                    (void)co_await from.receive_into(into);
                }
            }(server, memory, round % 2 == 0));
            for (int turn = 0; turn < round / 2 % 3; ++turn) co_await yield();
            must(co_await client.write("with one", {.descriptors = one}));
            for (int turn = 0; turn < round / 6; ++turn) co_await yield();
            group.reset();
            must(co_await client.flush());
            must(co_await server.close());
        }
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("senders_to_a_slow_receiver_wait_and_keep_their_order", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver slow(a_name());
        unix_datagram sender = must(unix_datagram::bind(a_name()));
        constexpr int count = 60; // the receiver's queue holds some ten
        for (int number = 0; number < count; ++number)
            must(co_await sender.write_to(slow.local(), count_of(number)));
        must(co_await sender.write_to(slow.local(), "")); // one without bytes waits too
        co_await settle();
        CHECK(sender.unsent() > 0);
        for (int number = 0; number <= count; ++number) {
            std::optional<std::string> got;
            co_await until([&] {
                got = slow.next();
                return got.has_value();
            });
            REQUIRE(*got == (number < count ? count_of(number) : ""));
        }
        must(co_await sender.flush());
    });
}

TEST_CASE("a_sender_goes_on_when_others_have_filled_the_queue_that_it_sends_to", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver slow(a_name());
        const plain_socket others = plain_socket::connected_to(slow.local(), 0, SOCK_DGRAM);
        while (others.send("of others")) {
        }
        unix_datagram sender = must(unix_datagram::bind(a_name()));
        must(co_await sender.write_to(slow.local(), "waits"));
        co_await settle();
        CHECK(sender.unsent() == 5);
        executor& home = *executor::current();
        const statistics before = home.stats();
        co_await settle();
        CHECK(home.stats().batches_sent - before.batches_sent < 10); // it does not try all the time
        std::optional<std::string> got;
        co_await until([&] {
            got = slow.next();
            return got == "waits";
        });
        must(co_await sender.flush());
    });
}

TEST_CASE("a_path_is_there_while_the_socket_is", "[linux]") {
    const std::string path = "/tmp/" + unique_name();
    on_executor(GENERATE(both_modes()), [path]() -> task<> {
        const endpoint at = endpoint::from_path(path).value();
        unix_datagram server = must(unix_datagram::bind(at));
        CHECK(::access(path.c_str(), F_OK) == 0);
        CHECK(error_of(unix_datagram::bind(at)) == std::errc::address_in_use);
        unix_datagram client = must(unix_datagram::connect(at));
        must(co_await server.close());
        CHECK(::access(path.c_str(), F_OK) != 0);
        const auto refused = co_await client.send("nobody");
        CHECK(error_of(refused) == std::errc::connection_refused);
        const auto none = co_await client.send_to(at, "nobody");
        CHECK(error_of(none) == std::errc::no_such_file_or_directory);
    });
}
