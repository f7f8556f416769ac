// Datagram sockets without a peer: to and from anybody, bursts, errors that are those of one datagram, groups.
#include "datagrams.hpp"
#include "runtime/forwarding_kernel.hpp"

#include <netinet/in.h>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// What a kernel says that is older than an option.
class older_kernel final : public forwarding_kernel {
  public:
    older_kernel(int level, int name)
        : level_(level)
        , name_(name) {}
    int
    set_option(int descriptor, int level, int name, const void* value, socklen_t length) noexcept override {
        if (level == level_ && name == name_) return -ENOPROTOOPT;
        return forwarding_kernel::set_option(descriptor, level, name, value, length);
    }

  private:
    int level_;
    int name_;
};

// Of `size` bytes that tell which one it is.
std::string numbered(int number, std::size_t size) {
    std::string text = std::to_string(number) + ' ';
    text.resize(std::max(text.size(), size), static_cast<char>('a' + number % 26));
    return text;
}

int number_of(const datagram& got) {
    return std::stoi(std::string(got.text()));
}

// Nothing is in the socket any more.
task<> until_all_has_left(const udp_socket& of) {
    co_await until([&of] { return executor::current()->behind().unread(of.native_handle()) <= 0; });
}

// Receives them in their order up to that number, of which the kernel says how many are missing. Keeps some meanwhile.
task<> receive_up_to(udp_socket& from, int last, int& received, std::size_t keeps) {
    std::vector<datagram> kept;
    for (int number = -1; number != last;) {
        datagram got = must(co_await from.receive());
        CHECK(number_of(got) > number);
        number = number_of(got);
        ++received;
        if (number == last)
            CHECK(got.control().overflows() == static_cast<std::uint32_t>(last + 1 - received));
        if (keeps == 0) continue;
        if (kept.size() == keeps) kept.erase(kept.begin());
        kept.push_back(std::move(got));
    }
}

} // namespace

TEST_CASE("a_datagram_socket_hears_everybody_and_answers_each") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket server = must(udp_socket::bind({"127.0.0.1", 0}));
        const endpoint at = must(server.local());
        std::vector<udp_socket> clients;
        for (int number = 0; number < 5; ++number)
            clients.push_back(must(udp_socket::bind({"127.0.0.1", 0})));
        for (int number = 0; number < 5; ++number) {
            const std::size_t sent =
                must(co_await clients[static_cast<std::size_t>(number)].send_to(at, numbered(number, 10)));
            CHECK(sent == 10);
        }
        for (int answered = 0; answered < 5; ++answered) {
            datagram got = must(co_await server.receive());
            must(co_await server.write_to(got.from(), got.take_payload()));
        }
        must(co_await server.flush());
        for (int number = 0; number < 5; ++number) {
            const datagram answer = must(co_await clients[static_cast<std::size_t>(number)].receive());
            CHECK(answer.text() == numbered(number, 10));
            CHECK(answer.from() == at);
        }
    });
}

TEST_CASE("datagrams_of_all_kinds_of_payloads_leave_in_one_chain_and_in_order") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}));
        udp_socket sender = must(udp_socket::bind({"127.0.0.1", 0}));
        const endpoint to = must(receiver.local());
        const std::string text = "borrowed";
        const byte_span pieces[] = {bytes_of(text).first(3), bytes_of(text).subspan(3)};
        const statistics before = executor::current()->stats();
        must(co_await sender.write_to(to, std::string_view(text)));
        must(co_await sender.write_to(to, byte_spans(pieces)));
        must(co_await sender.write_to(to, "short"s));
        must(co_await sender.write_to(to, std::vector<std::byte>(3, std::byte{'v'})));
        must(co_await sender.write_to(to, shared_message("shared"s)));
        must(co_await sender.write_to(to, ""));
        must(co_await sender.flush());
        const statistics behind = executor::current()->stats();
        CHECK(behind.batches_sent - before.batches_sent == 1);
        CHECK(behind.messages_sent - before.messages_sent == 6);
        const std::array<std::string_view, 6> all{"borrowed", "borrowed", "short", "vvv", "shared", ""};
        for (const std::string_view expected : all) {
            const datagram got = must(co_await receiver.receive());
            CHECK(got.text() == expected);
        }
    });
}

TEST_CASE("an_empty_datagram_is_one_and_those_behind_it_arrive") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        const std::array<std::string_view, 6> all{"", "", "one", "", "two", ""};
        for (const std::string_view text : all) must(co_await sender.send(text));
        for (const std::string_view text : all) {
            const datagram got = must(co_await receiver.receive());
            CHECK(got.text() == text);
            CHECK(got.segments().count() == 1);
            CHECK(got.from() == must(sender.local()));
        }
        std::array<std::byte, 4> memory{};
        must(co_await sender.send(""));
        const placed_datagram placed = must(co_await receiver.receive_into(memory));
        CHECK(placed.payload.empty());
        CHECK(placed.from == must(sender.local()));
    });
}

TEST_CASE(
    "a_burst_that_is_larger_than_the_pool_arrives_as_far_as_the_kernel_does_not_say_otherwise", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        datagram_options options;
        options.overflows = true;
        options.longest = 5000;
        options.blocks = 4;
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}, options));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        constexpr int burst = 500;
        int received = 0;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_up_to(receiver, burst, received, 3)); // the pool is without those
            co_await settle();
            for (int number = 0; number < burst; ++number)
                must(co_await sender.write(numbered(number, 4000)));
            must(co_await sender.flush());
            co_await until_all_has_left(receiver);
            must(co_await sender.send(numbered(burst, 10)));
        });
        CHECK(received > 4);
    });
}

TEST_CASE("a_reader_that_stops_costs_nothing_and_goes_on_where_it_was", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}, {.overflows = true}));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        must(co_await sender.send(numbered(0, 100)));
        const datagram first = must(co_await receiver.receive());
        CHECK(number_of(first) == 0);
        constexpr int sent = 2000;
        for (int number = 1; number < sent; ++number) must(co_await sender.write(numbered(number, 100)));
        must(co_await sender.flush());
        co_await settle();
        executor& home = *executor::current();
        const statistics before = home.stats();
        co_await settle(); // fifty turns, of one SQE each
        const statistics behind = home.stats();
        CHECK(behind.cqes - before.cqes == 50);
        CHECK(home.buffers().leased() == 1);
        // What a chain or two of the sender brought before the receive could be stopped.
        CHECK(home.buffers().provided() + home.buffers().free() + 200 > home.buffers().blocks());
        int received = 1;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive_up_to(receiver, sent, received, 0));
            co_await until_all_has_left(receiver);
            must(co_await sender.send(numbered(sent, 10)));
        });
        CHECK(received > 100);
    });
}

TEST_CASE("a_datagram_that_is_too_long_fails_alone_whoever_sent_it", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}));
        udp_socket sender = must(udp_socket::bind({"127.0.0.1", 0}));
        const endpoint to = must(receiver.local());
        must(co_await sender.write_to(to, "before"));
        must(co_await sender.write_to(to, std::string(70'000, 'x')));
        must(co_await sender.write_to(to, "behind"));
        const result<void> flushed = co_await sender.flush();
        CHECK(error_of(flushed) == std::errc::message_size);
        must(co_await sender.flush());
        const auto sent = co_await sender.send_to(to, std::string(70'000, 'x'));
        CHECK(error_of(sent) == std::errc::message_size);
        const auto to_nobody = co_await sender.send("without a peer");
        CHECK(error_of(to_nobody) == std::errc::destination_address_required);
        const auto other_family = co_await sender.send_to({"::1", to.port()}, "by IPv6");
        CHECK(error_of(other_family) == std::errc::address_family_not_supported);
        const std::array<std::string_view, 2> arrived{"before", "behind"};
        for (const std::string_view text : arrived) {
            const datagram got = must(co_await receiver.receive());
            CHECK(got.text() == text);
        }
    });
}

TEST_CASE("segments_that_do_not_fit_are_refused_and_the_socket_lives_on", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}, {.gro = true}));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        const std::string text = random_text(10'000, 1);
        const auto too_many = co_await sender.send(text, {.segment_size = 10});
        CHECK(error_of(too_many) == std::errc::invalid_argument);
        const statistics before = executor::current()->stats();
        const auto sent = co_await sender.send(text, {.segment_size = 1000});
        CHECK(sent == 10'000U);
        CHECK(executor::current()->stats().sqes - before.sqes == 1); // for all ten
        std::string all;
        std::size_t count = 0;
        while (all.size() < text.size()) {
            const datagram got = must(co_await receiver.receive());
            count += got.segments().count();
            all += got.text();
        }
        CHECK(count == 10);
        CHECK(all == text);
    });
}

TEST_CASE("a_connected_socket_is_told_of_a_refusal_once_and_lives_on", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        std::optional<plain_receiver> peer(over_udp::somewhere());
        const endpoint at = peer->local();
        peer.reset();
        udp_socket near = must(udp_socket::connect(at));
        must(co_await near.send("nobody"));
        const auto received = co_await near.receive();
        CHECK(error_of(received) == std::errc::connection_refused);
        must(co_await near.send("nobody"));
        co_await settle();
        const auto told = co_await near.send("not sent");
        CHECK(error_of(told) == std::errc::connection_refused);
        std::array<std::byte, 10> memory{};
        must(co_await near.send("nobody"));
        const auto placed = co_await near.receive_into(memory);
        CHECK(error_of(placed) == std::errc::connection_refused);
        peer.emplace(at);
        must(co_await near.send("somebody"));
        std::optional<std::string> got;
        co_await until([&] {
            got = peer->next();
            return got.has_value();
        });
        CHECK(got == "somebody");
        peer->answer(must(near.local()), "here");
        const datagram answer = must(co_await near.receive());
        CHECK(answer.text() == "here");
    });
}

TEST_CASE("a_socket_gets_a_peer_and_loses_it", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        // A port of the kernel's choice would be lost with the peer.
        datagram_options shares;
        shares.socket.reuse_port = true;
        udp_socket finds_a_port = must(udp_socket::bind({"127.0.0.1", 0}, shares));
        udp_socket near = must(udp_socket::bind(must(finds_a_port.local()), shares));
        must(co_await finds_a_port.close());
        udp_socket peer = must(udp_socket::bind({"127.0.0.1", 0}));
        udp_socket other = must(udp_socket::bind({"127.0.0.1", 0}));
        must(near.set_peer(must(peer.local())));
        CHECK(must(near.peer()) == must(peer.local()));
        must(co_await near.send("to the peer"));
        const datagram got = must(co_await peer.receive());
        CHECK(got.text() == "to the peer");
        must(co_await other.send_to(must(near.local()), "not from the peer"));
        must(co_await peer.send_to(must(near.local()), "from the peer"));
        const datagram answer = must(co_await near.receive());
        CHECK(answer.text() == "from the peer");
        const endpoint local = must(near.local());
        must(near.clear_peer());
        CHECK_FALSE(near.peer().has_value());
        CHECK(must(near.local()) == local);
        must(co_await other.send_to(local, "from another"));
        const datagram late = must(co_await near.receive());
        CHECK(late.from() == must(other.local()));
    });
}

TEST_CASE("an_option_that_the_kernel_lacks_is_an_error_and_nothing_is_left_open", "[linux]") {
    const std::size_t descriptors = open_descriptors();
    {
        constexpr int udp_gro = 104;
        older_kernel older(IPPROTO_UDP, udp_gro);
        executor home(options_for(GENERATE(both_modes())), older);
        home.run([]() -> task<> {
            const auto refused = udp_socket::bind({"127.0.0.1", 0}, {.gro = true});
            CHECK(error_of(refused) == std::errc::no_protocol_option);
            udp_socket made = must(udp_socket::bind({"127.0.0.1", 0}));
            const auto set = made.set_option(IPPROTO_UDP, udp_gro, 1);
            CHECK(error_of(set) == std::errc::no_protocol_option);
            must(co_await made.send_to(must(made.local()), "lives on"));
            const datagram got = must(co_await made.receive());
            CHECK(got.text() == "lives on");
        }());
        check_baseline(home);
    }
    CHECK(open_descriptors() == descriptors);
}

TEST_CASE("addresses_that_cannot_be_bound_or_sent_to_are_refused", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket first = must(udp_socket::bind({"127.0.0.1", 0}));
        CHECK(error_of(udp_socket::bind(must(first.local()))) == std::errc::address_in_use);
        const endpoint name = endpoint::from_abstract_name(unique_name()).value();
        CHECK(error_of(udp_socket::bind(name)) == std::errc::address_family_not_supported);
        CHECK(error_of(unix_datagram::bind({"127.0.0.1", 0})) == std::errc::address_family_not_supported);
        CHECK(error_of(unix_datagram::connect(name)) == std::errc::connection_refused);
        const auto broadcast =
            co_await first.send_to({"127.255.255.255", must(first.local()).port()}, "to all");
        CHECK(error_of(broadcast) == std::errc::permission_denied);
    });
}

TEST_CASE("a_broadcast_reaches_who_listens", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"0.0.0.0", 0}, {.packet_info = true}));
        udp_socket sender = must(udp_socket::bind({"127.0.0.1", 0}, {.broadcast = true}));
        const endpoint all("127.255.255.255", must(receiver.local()).port());
        must(co_await sender.send_to(all, "to all"));
        const datagram got = must(co_await receiver.receive());
        CHECK(got.text() == "to all");
        const auto info = got.control().destination();
        REQUIRE(info.has_value());
        CHECK(info->destination == endpoint("127.255.255.255", 0));
        CHECK(info->local != info->destination);
        must(sender.set_broadcast(false));
        const auto refused = co_await sender.send_to(all, "to all");
        CHECK(error_of(refused) == std::errc::permission_denied);
    });
}

TEST_CASE("sockets_that_share_a_port_share_its_datagrams", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        datagram_options options;
        options.socket.reuse_port = true;
        udp_socket one = must(udp_socket::bind({"127.0.0.1", 0}, options));
        udp_socket other = must(udp_socket::bind(must(one.local()), options));
        constexpr int count = 64;
        for (int number = 0; number < count; ++number) { // each from a port of its own
            udp_socket sender = must(udp_socket::bind({"127.0.0.1", 0}));
            must(co_await sender.send_to(must(one.local()), numbered(number, 10)));
        }
        int by_one = 0;
        int by_other = 0;
        const auto receive = [](udp_socket& from, int& received) -> task<> {
            while (co_await from.receive()) ++received;
        };
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(receive(one, by_one));
            group.spawn(receive(other, by_other));
            co_await until([&] { return by_one + by_other == count; });
            group.cancel();
        });
        CHECK(by_one > 0);
        CHECK(by_other > 0);
    });
}

TEST_CASE("a_receive_that_is_cancelled_leaves_the_datagram_to_the_next") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        const auto gave_up = co_await timeout(1ms, receiver.receive());
        CHECK(error_of(gave_up) == errc::timed_out);
        must(co_await sender.send("later"));
        const datagram got = must(co_await receiver.receive());
        CHECK(got.text() == "later");
        std::array<std::byte, 10> memory{};
        const auto placed = co_await timeout(1ms, receiver.receive_into(memory));
        CHECK(error_of(placed) == errc::timed_out);
    });
}

TEST_CASE("one_task_receives_and_a_closed_socket_says_so") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket near = must(udp_socket::bind({"127.0.0.1", 0}));
        std::error_code told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](udp_socket& from, std::error_code& error) -> task<> {
                const auto got = co_await from.receive();
                error = error_of(got);
            }(near, told));
            co_await settle();
            const auto second = co_await near.receive();
            CHECK(error_of(second) == errc::busy);
            must(co_await near.close());
        });
        CHECK(told == errc::closed);
        const auto received = co_await near.receive();
        CHECK(error_of(received) == errc::closed);
        const auto sent = co_await near.send("closed");
        CHECK(error_of(sent) == errc::closed);
        const auto written = co_await near.write("closed");
        CHECK(error_of(written) == errc::closed);
        CHECK(error_of(near.join({"239.255.77.1", 1})) == errc::closed);
        udp_socket none;
        const auto of_none = co_await none.receive();
        CHECK(error_of(of_none) == errc::closed);
    });
}

TEST_CASE("a_pool_of_its_own_ends_when_its_last_lease_does") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        datagram kept;
        executor& home = *executor::current();
        {
            udp_socket receiver = must(udp_socket::bind({"127.0.0.1", 0}, {.longest = 9000}));
            udp_socket sender = must(udp_socket::connect(must(receiver.local())));
            must(co_await sender.send("kept"));
            kept = must(co_await receiver.receive());
            CHECK(home.buffers().leased() == 0);
            CHECK(home.stats().buffers_leased == 1);
            must(co_await receiver.close());
        }
        CHECK(kept.text() == "kept");
        CHECK(home.stats().buffers_leased == 0);
        CHECK(home.broken_invariants().empty());
    });
}
