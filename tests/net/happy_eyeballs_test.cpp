#include "runtime/forwarding_kernel.hpp"
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// Longer than a test: who waits for it hangs.
constexpr duration not_in_this_test = 24h;

endpoint nobody() {
    plain_socket taken = plain_socket::listening({"127.0.0.1", 0}, 1);
    return taken.local();
}

// A connection that is in the backlog already.
plain_socket accepted_now(const plain_socket& listener) {
    pollfd ready{.fd = listener.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 0) != 1) FAIL("nobody has connected");
    return plain_socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

// A host of these addresses.
connect_options known_as(std::vector<endpoint> answer, duration attempt_delay = not_in_this_test) {
    connect_options options;
    options.attempt_delay = attempt_delay;
    options.resolve.lookup = [answer = std::move(answer)](const std::string&, const std::string&) {
        return result<std::vector<endpoint>>(answer);
    };
    return options;
}

task<> connect_to_test_host(connect_options options, outcome& told) {
    auto connected = co_await tcp_stream::connect("server.test", 80, options);
    told = {.done = true, .error = error_of(connected)};
}

} // namespace

TEST_CASE("the_families_of_a_hosts_addresses_take_turns") {
    const endpoint four_1("192.0.2.1", 80);
    const endpoint four_2("192.0.2.2", 80);
    const endpoint six_1("2001:db8::1", 80);
    const endpoint six_2("2001:db8::2", 80);
    const endpoint six_3("2001:db8::3", 80);
    using list = std::vector<endpoint>;
    CHECK(interleave_families({}).empty());
    CHECK(interleave_families({four_2, four_1}) == list{four_2, four_1});
    CHECK(
        interleave_families({six_1, six_2, six_3, four_1, four_2}) ==
        list{six_1, four_1, six_2, four_2, six_3});
    CHECK(interleave_families({four_1, four_2, six_1}) == list{four_1, six_1, four_2});
}

TEST_CASE("a_numeric_host_is_connected_to") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        const std::uint16_t port = must(listener.local()).port();
        auto by_number = must(co_await tcp_stream::connect("127.0.0.1", port));
        auto first = must(co_await listener.accept());
        co_await send_all(by_number, "hello");
        co_await expect(first, "hello");
        const std::string service = std::to_string(port);
        auto by_text = must(co_await tcp_stream::connect("127.0.0.1"s, service));
        auto second = must(co_await listener.accept());
        CHECK(must(second.peer()) == must(by_text.local()));
    });
}

TEST_CASE("a_numeric_host_of_ipv6_is_connected_to") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto bound = tcp_listener::bind({"::1", 0});
        if (!bound) SKIP("no IPv6 here: " << bound.error().message());
        auto near = must(co_await tcp_stream::connect("::1", must(bound->local()).port()));
        auto far = must(co_await bound->accept());
        CHECK(must(near.peer()).family() == AF_INET6);
    });
}

TEST_CASE("a_refused_attempt_is_followed_by_the_next_one_at_once", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        std::vector<endpoint> addresses{nobody(), nobody(), must(listener.local())};
        const connect_options options = known_as(std::move(addresses));
        auto near = must(co_await tcp_stream::connect("server.test", 80, options));
        auto far = must(co_await listener.accept());
        CHECK(must(near.peer()) == must(listener.local()));
    });
}

TEST_CASE("an_address_of_a_family_that_is_missing_here_is_followed_by_the_next_one", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        std::vector<endpoint> addresses{endpoint(), must(listener.local())};
        const connect_options options = known_as(std::move(addresses));
        auto near = must(co_await tcp_stream::connect("server.test", 80, options));
        CHECK(must(near.peer()) == must(listener.local()));
    });
}

TEST_CASE("options_hold_for_a_connection_to_a_host", "[linux]") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        connect_options options;
        options.socket.keep_alive = true;
        auto near = must(co_await tcp_stream::connect("127.0.0.1", must(listener.local()).port(), options));
        CHECK(must(near.option(SOL_SOCKET, SO_KEEPALIVE)) != 0);
    });
}

TEST_CASE("an_address_that_does_not_answer_is_given_its_time_and_then_overtaken", "[linux]") {
    const silent_listener first;
    const silent_listener second;
    const std::size_t before = open_descriptors();
    virtual_clock clock;
    {
        executor home(options_for(GENERATE(both_modes())), clock);
        home.run([](virtual_clock& time, endpoint silent_1, endpoint silent_2) -> task<> {
            auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
            std::vector<endpoint> addresses{silent_1, silent_2, must(listener.local())};
            const connect_options options = known_as(std::move(addresses), connect_options().attempt_delay);
            const time_point begin = time.now();
            auto near = must(co_await tcp_stream::connect("server.test", 80, options));
            CHECK(must(near.peer()) == must(listener.local()));
            CHECK(time.now() - begin >= 2 * 250ms);
            // The losers have ended: what is open are the listener and the winner.
            const statistics now = executor::current()->stats();
            CHECK(now.operations_in_flight == 0);
            CHECK(now.descriptors_opened - now.descriptors_closed - now.pending_closes == 2);
        }(clock, first.at(), second.at()));
        check_baseline(home);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("two_addresses_that_answer_at_the_same_time_make_one_connection", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_socket first = plain_socket::listening({"127.0.0.1", 0}, 1);
        const plain_socket second = plain_socket::listening({"127.0.0.1", 0}, 1);
        std::vector<endpoint> addresses{first.local(), second.local()};
        auto connected = co_await connect_to_first(std::move(addresses), {}, 0ns);
        tcp_stream winner = must(std::move(connected));
        CHECK(winner.is_open());
        // Loopback answers at once: both were connected, and one of them is closed again.
        const plain_socket at_first = accepted_now(first);
        const plain_socket at_second = accepted_now(second);
        const bool first_won = must(winner.peer()) == first.local();
        const plain_socket& at_winner = first_won ? at_first : at_second;
        const plain_socket& loser = first_won ? at_second : at_first;
        const std::string nothing = co_await read_plain_to_end(loser);
        CHECK(nothing.empty());
        co_await send_all(winner, "hello");
        const std::string got = co_await read_plain(at_winner, 5);
        CHECK(got == "hello");
    });
}

TEST_CASE("if_all_attempts_fail_the_error_is_the_most_telling_one", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        std::vector<endpoint> no_route_first{endpoint(), nobody(), endpoint()};
        const connect_options mixed = known_as(std::move(no_route_first));
        const auto refused = co_await tcp_stream::connect("server.test", 80, mixed);
        CHECK(error_of(refused) == std::errc::connection_refused);
        std::vector<endpoint> nowhere{endpoint(), endpoint()};
        const connect_options no_family = known_as(std::move(nowhere));
        const auto unsupported = co_await tcp_stream::connect("server.test", 80, no_family);
        CHECK(error_of(unsupported) == std::errc::address_family_not_supported);
    });
}

TEST_CASE("a_host_that_does_not_resolve_cannot_be_connected_to", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        connect_options options;
        options.resolve.lookup = [](const std::string&, const std::string&) -> result<std::vector<endpoint>> {
            return failure(make_error_code(resolve_errc::no_such_name));
        };
        const auto unknown = co_await tcp_stream::connect("server.test", 80, options);
        CHECK(error_of(unknown) == resolve_errc::no_such_name);
        const auto no_service = co_await tcp_stream::connect("127.0.0.1", "70000", options);
        CHECK(error_of(no_service) == resolve_errc::unknown_service);
        const auto no_port = co_await tcp_stream::connect("127.0.0.1", 65536 + 80);
        CHECK(error_of(no_port) == resolve_errc::unknown_service);
        std::vector<endpoint> none;
        const connect_options empty = known_as(std::move(none));
        const auto nowhere = co_await tcp_stream::connect("server.test", 80, empty);
        CHECK(error_of(nowhere) == resolve_errc::no_address);
    });
}

TEST_CASE("a_connection_to_a_host_can_be_cancelled_while_its_addresses_are_tried", "[linux]") {
    const silent_listener first;
    const silent_listener second;
    const std::size_t before = open_descriptors();
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        std::vector<endpoint> addresses{first.at(), second.at(), first.at()};
        const connect_options options = known_as(std::move(addresses), 0ns);
        executor& home = *executor::current();
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(connect_to_test_host(options, told));
            co_await until([&] { return home.stats().descriptors_opened == 3; });
            CHECK_FALSE(told.done);
            group.cancel();
        });
        CHECK(told.error == errc::cancelled);
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("a_connection_to_a_host_can_be_cancelled_while_it_waits_with_the_next_attempt", "[linux]") {
    const silent_listener first;
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        std::vector<endpoint> addresses{first.at(), nobody()};
        const connect_options options = known_as(std::move(addresses));
        executor& home = *executor::current();
        outcome told;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(connect_to_test_host(options, told));
            co_await until([&] { return home.stats().descriptors_opened == 1; });
            co_await settle();
            group.cancel();
        });
        CHECK(told.error == errc::cancelled);
        CHECK(home.stats().descriptors_opened == 1);
    });
}

TEST_CASE("a_connection_to_a_host_in_a_cancelled_scope_opens_nothing", "[linux]") {
    const silent_listener first;
    const std::string host = GENERATE(as<std::string>(), "server.test", "127.0.0.1");
    on_executor(task_work_mode::throughput, [&]() -> task<> {
        std::vector<endpoint> addresses{first.at()};
        const connect_options options = known_as(std::move(addresses));
        outcome told;
        const auto connect = [&]() -> task<> {
            auto connected = co_await tcp_stream::connect(host, first.at().port(), options);
            told = {.done = true, .error = error_of(connected)};
        };
        co_await scope([&](task_group& group) -> task<> {
            group.cancel();
            group.spawn(connect());
            co_return;
        });
        CHECK(told.error == errc::cancelled);
        CHECK(executor::current()->stats().descriptors_opened == 0);
    });
}

TEST_CASE("an_address_that_connects_in_the_turn_of_the_cancellation_wins_or_leaves_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind({"127.0.0.1", 0}));
        std::vector<endpoint> addresses{must(listener.local()), must(listener.local())};
        for (int turns = 0; turns < 8; ++turns) {
            std::vector<endpoint> copied = addresses;
            outcome told;
            const auto connect = [&]() -> task<> {
                auto connected = co_await connect_to_first(std::move(copied), {}, 0ns);
                told = {.done = true, .error = error_of(connected)};
            };
            co_await scope([&](task_group& group) -> task<> {
                group.spawn(connect());
                for (int turn = 0; turn < turns; ++turn) co_await turn_begin();
                group.cancel();
            });
            REQUIRE(told.done);
            const bool expected = !told.error || told.error == errc::cancelled;
            CHECK(expected);
        }
    });
}
