// Datagram sockets over descriptors that somebody else has made.
#include "adopted.hpp"
#include "runtime/forwarding_kernel.hpp"

#include <netinet/in.h>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// What a kernel says that is older than the control messages of a destination.
class without_packet_info final : public forwarding_kernel {
  public:
    int
    set_option(int descriptor, int level, int name, const void* value, socklen_t length) noexcept override {
        if (level == IPPROTO_IP && name == IP_PKTINFO) return -ENOPROTOOPT;
        return forwarding_kernel::set_option(descriptor, level, name, value, length);
    }
};

template <class Over>
typename Over::socket adopted_datagrams(plain_socket& from, const datagram_options& options = {}) {
    auto made = must(Over::socket::adopt(from.get(), options));
    (void)from.take();
    return made;
}

template <class Socket> std::error_code adoption_error(int descriptor) {
    return error_of(Socket::adopt(descriptor));
}

} // namespace

TEMPLATE_TEST_CASE("an_adopted_socket_of_datagrams_is_one_as_any_other", "", EACH_KIND) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_datagrams<TestType>();
        const endpoint far = pair.far.local();
        const endpoint near = pair.near.local();
        CHECK(pair.far.send("there before"));
        auto socket = adopted_datagrams<TestType>(pair.near);
        CHECK(must(socket.local()) == near);
        CHECK(must(socket.peer()) == far);
        const datagram before = must(co_await socket.receive());
        CHECK(before.text() == "there before");
        CHECK(before.from() == far);
        must(co_await socket.send("answer"));
        const std::string answer = co_await read_plain(pair.far, 6);
        CHECK(answer == "answer");
        CHECK(pair.far.send("last"));
        const datagram last = must(co_await socket.receive());
        CHECK(last.text() == "last");
        must(co_await socket.close());
        CHECK_FALSE(socket.is_open());
    });
}

TEMPLATE_TEST_CASE("a_socket_of_datagrams_without_a_peer_is_adopted_too", "[linux]", EACH_KIND) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        plain_socket made = plain_socket::bound(TestType::somewhere(), SOCK_DGRAM);
        const plain_receiver anybody(TestType::somewhere());
        auto socket = adopted_datagrams<TestType>(made);
        CHECK_FALSE(socket.peer().has_value());
        anybody.answer(must(socket.local()), "from anybody");
        const datagram got = must(co_await socket.receive());
        CHECK(got.text() == "from anybody");
        CHECK(got.from() == anybody.local());
        must(co_await socket.send_to(got.from(), "and back"));
        std::optional<std::string> back;
        co_await until([&] {
            back = anybody.next();
            return back.has_value();
        });
        CHECK(back == "and back");
    });
}

TEST_CASE("an_adopted_socket_of_datagrams_brings_what_its_options_ask_for", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_datagrams<over_udp>();
        const endpoint near("127.0.0.1", 0);
        datagram_options options;
        options.packet_info = options.traffic_class = true;
        options.longest = 9000;
        auto socket = adopted_datagrams<over_udp>(pair.near, options);
        pair.far.set(IPPROTO_IP, IP_TOS, 0x2e);
        const std::string long_text = random_text(9000, 1);
        CHECK(pair.far.send(long_text));
        const datagram got = must(co_await socket.receive());
        CHECK(got.text() == long_text);
        CHECK(got.control().traffic_class() == 0x2e);
        const auto info = got.control().destination();
        REQUIRE(info.has_value());
        CHECK(info->destination == near);
    });
}

TEMPLATE_TEST_CASE("a_socket_of_datagrams_that_does_not_block_waits_all_the_same", "[linux]", EACH_KIND) {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_datagrams<TestType>();
        ::fcntl(pair.near.get(), F_SETFL, O_NONBLOCK);
        ::fcntl(pair.near.get(), F_SETFD, 0);
        auto socket = adopted_datagrams<TestType>(pair.near);
        CHECK(::fcntl(socket.native_handle(), F_GETFD) == FD_CLOEXEC);
        std::array<std::byte, 16> memory{};
        std::size_t into_memory = 0;
        std::string leased;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(
                [](auto& from, std::span<std::byte> into, std::size_t& size, std::string& text) -> task<> {
                    const placed_datagram placed = must(co_await from.receive_into(into));
                    size = placed.payload.size();
                    const datagram got = must(co_await from.receive());
                    text = got.text();
                }(socket, memory, into_memory, leased));
            co_await settle();
            CHECK(pair.far.send("into memory"));
            co_await settle();
            CHECK(pair.far.send("leased"));
        });
        CHECK(into_memory == 11);
        CHECK(leased == "leased");
        // More than a unix socket's queue holds.
        std::size_t arrived = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to) -> task<> {
                for (int number = 0; number < 40; ++number) must(co_await to.send("waits for room"));
            }(socket));
            co_await until([&] { return (arrived += pair.far.read_now().empty() ? 0 : 1) == 40; });
        });
        CHECK((::fcntl(socket.native_handle(), F_GETFL) & O_NONBLOCK) != 0);
    });
}

namespace {

// A receive into memory on a socket that does not block and that somebody else reads as well: the kernel gives it up in the
// end, and it begins anew.
struct robbed_datagrams {
    udp_socket& socket;
    const plain_socket& peer;
    result<placed_datagram> received = failure(errc::closed);
    bool done = false;

    static task<> receive(robbed_datagrams& own) {
        std::array<std::byte, 8> memory{};
        own.received = co_await own.socket.receive_into(memory);
        own.done = true;
    }
    // Until the kernel has given it up, and it has not begun anew yet.
    static task<> rob(robbed_datagrams& own) {
        const executor& home = *executor::current();
        co_await settle();
        const std::uint32_t waiting = home.stats().operations_in_flight;
        for (int thefts = 0; thefts < 2000; ++thefts) {
            CHECK(own.peer.send("x"));
            char stolen = 0;
            (void)::recv(own.socket.native_handle(), &stolen, 1, MSG_DONTWAIT);
            co_await one_turn();
            if (home.stats().operations_in_flight < waiting) co_return;
        }
        WARN("this kernel has not given it up");
    }
};

enum class robbed_then { goes_on, is_cancelled, is_closed, is_released, is_destroyed };

} // namespace

TEST_CASE("a_receive_of_a_datagram_that_the_kernel_gives_up_for_no_reason_goes_on", "[linux]") {
    using enum robbed_then;
    const robbed_then it = GENERATE(goes_on, is_cancelled, is_closed, is_released, is_destroyed);
    on_executor(task_work_mode::throughput, [it]() -> task<> { // else it receives ahead of the thief
        auto pair = plain_datagrams<over_udp>();
        ::fcntl(pair.near.get(), F_SETFL, O_NONBLOCK);
        auto socket = adopted_datagrams<over_udp>(pair.near);
        robbed_datagrams own{socket, pair.far};
        cancel_scope& here = co_await this_scope{};
        std::optional<task_group> group(std::in_place, here);
        group->spawn(own.receive(own));
        co_await own.rob(own);
        if (own.done) co_return;
        std::error_code expected;
        switch (it) {
        case goes_on: CHECK(pair.far.send("d")); break;
        case is_cancelled:
            expected = errc::cancelled;
            group->cancel();
            break;
        case is_closed:
            expected = errc::closed;
            must(co_await socket.close());
            break;
        case is_released: {
            expected = errc::closed;
            const auto released = must(co_await socket.release());
            CHECK(released.descriptor);
            break;
        }
        case is_destroyed: group.reset(); co_return;
        }
        co_await group->join();
        // The worker thread that tries it once more may have been faster than the thief.
        if (!own.received) CHECK(own.received.error() == expected);
        if (it == goes_on) CHECK(own.received.has_value());
    });
}

TEST_CASE("what_cannot_be_a_socket_of_datagrams_stays_the_callers_as_it_was") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const auto stream = plain_connection<over_unix>();
        CHECK(adoption_error<unix_datagram>(stream.near.get()) == std::errc::wrong_protocol_type);
        const plain_socket listening = plain_socket::listening(over_tcp::somewhere(), 1);
        CHECK(adoption_error<udp_socket>(listening.get()) == std::errc::wrong_protocol_type);
        const auto local = plain_datagrams<over_unix_datagrams>();
        CHECK(adoption_error<udp_socket>(local.near.get()) == std::errc::address_family_not_supported);
        const auto internet = plain_datagrams<over_udp>();
        CHECK(adoption_error<unix_datagram>(internet.near.get()) == std::errc::address_family_not_supported);
        plain_socket closed = plain_socket::bound(over_udp::somewhere(), SOCK_DGRAM);
        const int number = closed.get();
        closed.close();
        CHECK(adoption_error<udp_socket>(number) == std::errc::bad_file_descriptor);
        CHECK(adoption_error<udp_socket>(-1) == std::errc::bad_file_descriptor);

        CHECK(stream.far.send("still there")); // and open
        const std::string of_stream = co_await read_plain(stream.near, 11);
        CHECK(of_stream == "still there");
        CHECK(internet.far.send("still there"));
        const std::string of_datagrams = co_await read_plain(internet.near, 11);
        CHECK(of_datagrams == "still there");
    });
}

TEST_CASE("a_descriptor_belongs_to_one_socket_of_datagrams") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_datagrams<over_udp>();
        const int number = pair.near.get();
        auto socket = adopted_datagrams<over_udp>(pair.near);
        CHECK(adoption_error<udp_socket>(number) == errc::already_owned);
        const udp_socket bound = must(udp_socket::bind(over_udp::somewhere()));
        CHECK(adoption_error<udp_socket>(bound.native_handle()) == errc::already_owned);
        CHECK(adoption_error<unix_datagram>(bound.native_handle()) == errc::already_owned);
        must(co_await socket.close());
    });
}

TEST_CASE("a_file_is_no_socket_of_datagrams", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const owned_descriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        CHECK(adoption_error<udp_socket>(file.get()) == std::errc::not_a_socket);
        CHECK(::fcntl(file.get(), F_GETFD) >= 0);
        co_return;
    });
}

TEST_CASE("no_socket_of_datagrams_is_adopted_outside_of_an_executor") {
    const kernel_under_test kernel;
    const auto pair = plain_datagrams<over_udp>();
    CHECK(adoption_error<udp_socket>(pair.near.get()) == std::errc::operation_not_permitted);
    CHECK(adoption_error<unix_datagram>(pair.near.get()) == std::errc::operation_not_permitted);
}

TEST_CASE("an_option_that_cannot_be_had_leaves_the_descriptor_to_the_caller", "[linux]") {
    without_packet_info older;
    executor home(options_for(GENERATE(both_modes())), older);
    home.run([]() -> task<> {
        auto pair = plain_datagrams<over_udp>();
        const auto refused = udp_socket::adopt(pair.near.get(), {.packet_info = true});
        CHECK(error_of(refused) == std::errc::no_protocol_option);
        CHECK(pair.far.send("still there"));
        const std::string got = co_await read_plain(pair.near, 11);
        CHECK(got == "still there");
        auto socket = adopted_datagrams<over_udp>(pair.near);
        CHECK(pair.far.send("taken"));
        const datagram taken = must(co_await socket.receive());
        CHECK(taken.text() == "taken");
    }());
    check_baseline(home);
}

// As that of a service manager, which keeps a descriptor of its own.
TEST_CASE("the_end_of_an_adopted_socket_of_datagrams_is_not_that_of_others_who_share_it", "[linux]") {
    const std::string path = "/tmp/" + unique_name();
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        plain_socket made = plain_socket::bound(must(endpoint::from_path(path)), SOCK_DGRAM);
        const plain_socket shared(::dup(made.get()));
        const plain_socket peer = plain_socket::connected_to(made.local(), 0, SOCK_DGRAM);
        auto socket = adopted_datagrams<over_unix_datagrams>(made);
        CHECK(peer.send("first"));
        const datagram first = must(co_await socket.receive()); // another receive is armed
        CHECK(first.text() == "first");
        must(co_await socket.close());
        CHECK(::access(path.c_str(), F_OK) == 0);
        CHECK(peer.send("second"));
        const std::string second = co_await read_plain(shared, 6);
        CHECK(second == "second");
        ::unlink(path.c_str());
    });
}

TEST_CASE("an_owned_descriptor_of_datagrams_is_empty_once_it_is_adopted") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_datagrams<over_udp>();
        owned_descriptor owned(pair.near.take(), executor::current()->behind());
        CHECK(error_of(unix_datagram::adopt(std::move(owned))) == std::errc::address_family_not_supported);
        CHECK(owned); // NOLINT(bugprone-use-after-move): not where it is refused
        auto socket = must(udp_socket::adopt(std::move(owned)));
        CHECK_FALSE(owned); // NOLINT(bugprone-use-after-move)
        must(co_await socket.send("whole"));
        const std::string read = co_await read_plain(pair.far, 5);
        CHECK(read == "whole");
    });
}
