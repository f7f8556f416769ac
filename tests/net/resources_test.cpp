// What hostile, slow and numerous peers cost: afterwards descriptors, operations, buffers and frames are back
// where they were.
#include "sockets.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

template <class Stream> task<> echo(Stream peer, unsigned& ended) {
    while (auto chunk = co_await peer.receive()) {
        if (chunk->empty()) break;
        const auto sent = co_await peer.send(std::move(*chunk));
        if (!sent) break;
    }
    ++ended;
}

// Serves `clients` connections, each in a task of its own, while `body` runs.
template <class Over, class Body> void with_echo_server(task_work_mode mode, unsigned clients, Body body) {
    const std::size_t before = open_descriptors();
    {
        executor home(options_for(mode));
        home.run([](unsigned expected, Body& acting) -> task<> {
            auto listener = must(Over::listener::bind(Over::somewhere()));
            unsigned ended = 0;
            const auto serve = [&](task_group& sessions) -> task<> {
                for (unsigned client = 0; client < expected; ++client)
                    sessions.spawn(echo(must(co_await listener.accept()), ended));
            };
            co_await scope([&](task_group& sessions) -> task<> {
                sessions.spawn(serve(sessions));
                co_await acting(must(listener.local()));
            });
            CHECK(ended == expected);
        }(clients, body));
        check_baseline(home);
        CHECK(home.buffers().provided() + home.buffers().free() == home.buffers().blocks());
        CHECK(home.stats().sqes <= home.stats().cqes);
    }
    CHECK(open_descriptors() == before);
}

// As many clients as asked for, one after another. How many of them got back what they sent.
template <class Over> unsigned exchange_one_message(unsigned clients, const endpoint& at) {
    unsigned right = 0;
    for (unsigned client = 0; client < clients; ++client) {
        plain_socket socket = plain_socket::connected_to(at);
        const std::string text = std::to_string(client);
        std::string back(text.size(), '?');
        if (!socket.send(text)) break;
        const ssize_t got = ::recv(socket.get(), back.data(), back.size(), MSG_WAITALL);
        if (got == static_cast<ssize_t>(back.size()) && back == text) ++right;
        // A reset leaves no port behind in TIME_WAIT.
        if (Over::tcp || client % 2 == 0) socket.reset();
    }
    return right;
}

} // namespace

TRANSPORT_TEST_CASE("clients_that_are_killed_in_the_middle_of_a_message_leave_nothing_behind", "[linux]") {
    constexpr unsigned clients = 60;
    with_echo_server<over_any>(GENERATE(both_modes()), clients, [](endpoint at) -> task<> {
        std::vector<plain_socket> connected;
        for (unsigned client = 0; client < clients; ++client) {
            connected.push_back(plain_socket::connected_to(at, 4096));
            const std::string part(100UZ * client, 'x');
            if (client % 3 == 0) {
                connected.back().fill(); // the server is stuck in its reply
            } else {
                CHECK(connected.back().send(part));
            }
            if (client % 5 == 0) connected.back().reset(); // at once
            if (client % 7 == 0) co_await one_turn();
        }
        co_await settle();
        for (plain_socket& client : connected) client.reset();
    });
}

TRANSPORT_TEST_CASE("many_connections_come_and_go", "[linux]") {
    const auto mode = GENERATE(both_modes());
    const bool quick = optimized && over_any::tcp && mode == task_work_mode::throughput;
    unsigned clients = quick ? 100'000 : 2'000;
    with_echo_server<over_any>(mode, clients, [clients](endpoint at) -> task<> {
        auto exchanges = [count = clients, at] { return exchange_one_message<over_any>(count, at); };
        const unsigned right = must(co_await offload(std::move(exchanges)));
        CHECK(right == clients);
    });
}

TRANSPORT_TEST_CASE("a_client_that_never_reads_suspends_its_writer_and_nobody_else", "[linux]") {
    with_echo_server<over_any>(GENERATE(both_modes()), 2, [](endpoint at) -> task<> {
        const plain_socket deaf = plain_socket::connected_to(at, 4096);
        executor& home = *executor::current();
        std::size_t sent = 0;
        // Until neither the server takes nor the socket holds more.
        for (std::size_t more = 1; more != 0; sent += more) {
            more = deaf.fill();
            co_await settle();
        }
        CHECK(sent > 0);
        CHECK(home.stats().bytes_sent < sent);

        const plain_socket other = plain_socket::connected_to(at);
        for (int round = 0; round < 100; ++round) {
            const std::string text = "round " + std::to_string(round);
            CHECK(other.send(text));
            const std::string back = co_await read_plain(other, text.size());
            CHECK(back == text);
        }
        // A writer that waits costs nothing: what was submitted besides the no-ops of settle() moved
        // messages.
        const statistics idle = home.stats();
        co_await settle();
        const statistics now = home.stats();
        CHECK(now.sqes - idle.sqes <= 50 + 4 * (now.batches_sent - idle.batches_sent) + 4);
    });
}

// Fails if the pool cannot grow: the clients fill sixteen blocks each and more, and no block comes home.
TRANSPORT_TEST_CASE("clients_that_send_and_never_read_lock_nobody_out_of_the_pool", "[linux]") {
    executor_options options = options_for(GENERATE(both_modes()));
    const std::uint32_t blocks = GENERATE(1U, 16U, 64U);
    options.buffers.blocks = blocks;
    options.buffers.block_size = 256; // the clients have data for many
    constexpr unsigned deaf_clients = 12;
    const std::size_t before = open_descriptors();
    {
        executor home(options);
        home.run([](executor& running, std::uint32_t base) -> task<> {
            listen_options little;
            little.socket.send_buffer = 16'384; // soon full
            auto listener = must(over_any::listener::bind(over_any::somewhere(), little));
            const endpoint at = must(listener.local());
            unsigned ended = 0;
            const auto serve = [&](task_group& sessions) -> task<> {
                for (;;) {
                    auto accepted = co_await listener.accept();
                    if (!accepted) co_return;
                    sessions.spawn(echo(std::move(*accepted), ended));
                }
            };
            co_await scope([&](task_group& sessions) -> task<> {
                sessions.spawn(serve(sessions));
                std::vector<plain_socket> deaf;
                for (unsigned client = 0; client < deaf_clients; ++client)
                    deaf.push_back(plain_socket::connected_to(at, 4096));
                std::size_t sent = 0;
                for (std::size_t more = 1; more != 0; sent += more) {
                    more = 0;
                    for (const plain_socket& client : deaf) more += client.fill();
                    co_await settle();
                }
                CHECK(sent > 0);
                for (int late = 0; late < 20; ++late) {
                    const plain_socket client = plain_socket::connected_to(at);
                    CHECK(client.send("hello"));
                    const std::string back = co_await read_plain(client, 5);
                    CHECK(back == "hello");
                }
                // In a shortage a connection takes one block, not all there are.
                CHECK(running.buffers().blocks() <= base + deaf_clients + 20);
                deaf.clear();
                co_await until([&] { return ended == deaf_clients + 20; });
                sessions.cancel();
            });
        }(home, blocks));
        check_baseline(home);
        CHECK(home.buffers().provided() + home.buffers().free() == home.buffers().blocks());
    }
    CHECK(open_descriptors() == before);
}

// The pool cannot grow. What does not find a block stays in the sockets, and nobody spins.
TRANSPORT_TEST_CASE("a_burst_that_is_larger_than_the_pool_arrives_whole") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.blocks = options.buffers.most_blocks = 8;
    options.buffers.block_size = 256;
    on_executor(options, []() -> task<> {
        executor& home = *executor::current();
        constexpr std::size_t clients = 4;
        const std::string burst = random_text(20'000, 1);
        std::vector<stream_and_peer<over_any>> pairs;
        for (std::size_t client = 0; client < clients; ++client) {
            pairs.push_back(co_await connected_to_plain<over_any>());
            CHECK(pairs.back().peer.send(burst));
        }
        std::size_t right = 0;
        co_await scope([&](task_group& readers) -> task<> {
            for (auto& pair : pairs)
                readers.spawn([](auto& from, const std::string& sent, std::size_t& count) -> task<> {
                    const std::string got = co_await receive_exactly(from, sent.size());
                    if (got == sent) ++count;
                }(pair.stream, burst, right));
            co_return;
        });
        CHECK(right == clients);
        CHECK(home.stats().no_buffers > 0);
        CHECK(home.stats().no_buffers <= clients * burst.size() / 256);
        // Those that nobody reads any more have taken nothing out of it.
        CHECK(home.buffers().provided() + home.buffers().free() == 8);
    });
}

TRANSPORT_TEST_CASE("a_connection_takes_one_block_at_a_time_while_the_pool_has_grown") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.blocks = 4;
    options.buffers.block_size = 64;
    on_executor(options, []() -> task<> {
        const buffer_pool& pool = executor::current()->buffers();
        auto keeper = co_await connected_to_plain<over_any>();
        auto greedy = co_await connected_to_plain<over_any>();
        std::vector<buffer> kept;
        while (kept.size() < 5) {
            CHECK(keeper.peer.send("kept"));
            kept.push_back(must(co_await keeper.stream.receive()));
        }
        CHECK(pool.blocks() == 5);
        kept.erase(kept.begin(), kept.begin() + 2);
        CHECK(pool.provided() == 2);

        const std::string much(1000, 'x');
        CHECK(greedy.peer.send(much));
        const buffer first = must(co_await greedy.stream.receive());
        CHECK(first.size() == 64);
        CHECK(pool.provided() == 1);
        // The shortage is over.
        kept.clear();
        CHECK(pool.blocks() == 4);
        greedy.peer.close();
        const std::string rest = co_await receive_to_end(greedy.stream);
        CHECK(rest.size() == much.size() - 64);
    });
}

TRANSPORT_TEST_CASE("a_pool_whose_leases_are_kept_refuses_nobody_for_good", "[linux]") {
    const bool from_another_thread = GENERATE(true, false);
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.blocks = options.buffers.most_blocks = 8;
    const std::size_t before = open_descriptors();
    {
        executor home(options);
        home.run([](executor& running, bool elsewhere) -> task<> {
            constexpr std::size_t clients = 5;
            std::vector<stream_and_peer<over_any>> pairs;
            for (std::size_t client = 0; client < clients; ++client)
                pairs.push_back(co_await connected_to_plain<over_any>());

            // One reader keeps every block.
            std::vector<buffer> kept;
            while (kept.size() < 8) {
                CHECK(pairs[0].peer.send("kept"));
                kept.push_back(must(co_await pairs[0].stream.receive()));
            }
            CHECK(running.stats().buffers_leased == 8);

            std::size_t served = 0;
            const auto receive = [&](std::size_t client) -> task<> {
                co_await expect(pairs[client].stream, "client " + std::to_string(client));
                ++served;
            };
            co_await scope([&](task_group& group) -> task<> {
                for (std::size_t client = 1; client < clients; ++client) group.spawn(receive(client));
                co_await settle();
                for (std::size_t client = 1; client < clients; ++client)
                    CHECK(pairs[client].peer.send("client " + std::to_string(client)));
                co_await settle();
                CHECK(served == 0);

                // Starving costs nothing: while the test sleeps, the executor does.
                const statistics hungry = running.stats();
                CHECK(hungry.no_buffers >= clients - 1);
                CHECK(hungry.no_buffers <= 2 * clients);
                for (int nap = 0; nap < 5; ++nap) must(co_await chainring::sleep(2ms));
                const statistics still = running.stats();
                CHECK(still.no_buffers == hungry.no_buffers);
                CHECK(still.sqes - hungry.sqes <= 1); // the read that wakes a sleeping executor
                CHECK(still.turns - hungry.turns <= 20);

                // One block is enough for all, one after the other; and nothing else happens that could help.
                if (elsewhere) std::thread([lease = std::move(kept.back())]() mutable { lease = {}; }).join();
                kept.pop_back();
            });
            CHECK(served == clients - 1);
            CHECK(running.stats().no_buffers < 40);
        }(home, from_another_thread));
        check_baseline(home);
    }
    CHECK(open_descriptors() == before);
}

TRANSPORT_TEST_CASE("leases_are_reported_by_the_descriptor_that_their_bytes_came_from") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        executor& home = *executor::current();
        auto pair = co_await connected_to_plain<over_any>();
        std::vector<buffer> kept;
        for (int at = 0; at < 2; ++at) {
            CHECK(pair.peer.send("kept"));
            kept.push_back(must(co_await pair.stream.receive()));
        }
        const std::string expected = "2 leased buffers with bytes from descriptor " +
                                     std::to_string(pair.stream.native_handle()) + ", the oldest for ";
        const auto reported = [&] {
            const std::vector<std::string> lines = home.holdings_report();
            return std::ranges::count_if(
                lines, [&](const std::string& line) { return line.starts_with(expected); });
        };
        CHECK(reported() == 1);
        kept.clear();
        CHECK(reported() == 0);
    });
}

TRANSPORT_TEST_CASE("a_block_that_comes_home_wakes_a_sleeping_executor", "[linux]") {
    const bool from_another_thread = GENERATE(true, false);
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.blocks = options.buffers.most_blocks = 1;
    on_executor(options, [&]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        CHECK(pair.peer.send("kept"));
        std::optional<buffer> kept = must(co_await pair.stream.receive());
        CHECK(pair.peer.send("later"));
        co_await scope([&](task_group& group) -> task<> {
            std::jthread elsewhere;
            group.spawn(expect(pair.stream, "later"));
            co_await settle();
            if (from_another_thread) {
                elsewhere = std::jthread([lease = std::move(*kept)]() mutable { lease = {}; });
                kept.reset();
                // Nothing but the lease's end wakes the executor from here on.
            } else {
                must(co_await chainring::sleep(2ms));
                kept.reset();
            }
        });
    });
}

TRANSPORT_TEST_CASE("an_idle_connection_that_was_fed_leaves_the_block_to_others") {
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.blocks = options.buffers.most_blocks = 1;
    on_executor(options, []() -> task<> {
        auto keeper = co_await connected_to_plain<over_any>();
        auto idle = co_await connected_to_plain<over_any>();
        auto busy = co_await connected_to_plain<over_any>();
        CHECK(keeper.peer.send("kept"));
        std::optional<buffer> kept = must(co_await keeper.stream.receive());
        co_await scope([&](task_group& group) -> task<> {
            co_await scope([&](task_group& waiting) -> task<> {
                waiting.spawn([](auto& from) -> task<> { (void)co_await from.receive(); }(idle.stream));
                co_await settle(); // it is the first to starve
                group.spawn(expect(busy.stream, "served"));
                co_await settle();
                kept.reset();
                CHECK(busy.peer.send("served"));
                co_await group.join();
                waiting.cancel();
            });
        });
    });
}

TEST_CASE("buffers_of_a_dead_executor_may_still_be_held", "[linux]") {
    std::optional<buffer> late;
    {
        executor home;
        home.run([](std::optional<buffer>& kept) -> task<> {
            auto pair = co_await connected_to_plain<over_unix>();
            CHECK(pair.peer.send("still here"));
            kept = must(co_await pair.stream.receive());
        }(late));
    }
    CHECK(late->text() == "still here");
}
