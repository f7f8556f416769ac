// Datagram sockets that find the pool empty, and those to which nothing comes.
#include "datagrams.hpp"
#include "unread.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr int few_blocks = 8;

executor_options with_few_blocks(task_work_mode mode) {
    executor_options options = options_for(mode);
    options.buffers.blocks = options.buffers.most_blocks = few_blocks;
    return options;
}

// A task that reads as fast as it can, until it has so many.
task<> receive_in_order(udp_socket& from, int count, int& received) {
    for (; received < count; ++received) {
        const datagram got = must(co_await from.receive());
        CHECK(got.text() == std::to_string(received));
    }
}

// The pool is empty from here on. A lease each.
task<std::vector<datagram>> take_all_blocks() {
    udp_socket keeper = must(udp_socket::bind({"127.0.0.1", 0}));
    udp_socket sender = must(udp_socket::connect(must(keeper.local())));
    std::vector<datagram> kept;
    for (int number = 0; number < few_blocks; ++number) {
        must(co_await sender.send("kept"));
        kept.push_back(must(co_await keeper.receive()));
    }
    CHECK(executor::current()->buffers().leased() == few_blocks);
    co_return kept;
}

// Long enough for whoever spins to be seen.
task<> rest() {
    if (kernel_under_test::simulation() != nullptr) {
        must(co_await chainring::sleep(1h));
    } else {
        for (int nap = 0; nap < 5; ++nap) must(co_await chainring::sleep(2ms));
    }
}

} // namespace

TEST_CASE("datagrams_that_find_no_block_stay_in_the_socket_and_neither_spin_nor_starve_others") {
    on_executor(with_few_blocks(GENERATE(both_modes())), []() -> task<> {
        executor& home = *executor::current();
        std::vector<datagram> kept = co_await take_all_blocks();
        constexpr int sockets = 5;
        constexpr int count = 20; // more than the pool has blocks
        std::vector<udp_socket> receivers;
        std::vector<udp_socket> senders;
        for (int number = 0; number < sockets; ++number) {
            receivers.push_back(must(udp_socket::bind({"127.0.0.1", 0})));
            senders.push_back(must(udp_socket::connect(must(receivers.back().local()))));
        }
        auto stream = co_await connected_to_plain<over_tcp>();
        std::array<int, sockets> received{};
        bool stream_was_served = false;
        co_await scope([&](task_group& group) -> task<> {
            for (std::size_t at = 0; at < received.size(); ++at)
                group.spawn(receive_in_order(receivers[at], count, received[at]));
            group.spawn([](tcp_stream& from, bool& served) -> task<> {
                co_await expect(from, "of a stream");
                served = true;
            }(stream.stream, stream_was_served));
            co_await settle();
            for (int number = 0; number < count; ++number)
                for (udp_socket& each : senders) must(co_await each.write(std::to_string(number)));
            for (udp_socket& each : senders) must(co_await each.flush());
            CHECK(stream.peer.send("of a stream"));
            co_await settle();
            CHECK(std::ranges::count(received, 0) == sockets);
            CHECK_FALSE(stream_was_served);

            const statistics hungry = home.stats();
            CHECK(hungry.no_buffers >= sockets + 1);
            CHECK(hungry.no_buffers <= 2 * (sockets + 1));
            co_await rest();
            const statistics still = home.stats();
            CHECK(still.no_buffers == hungry.no_buffers);
            CHECK(still.turns - hungry.turns <= 20);
            CHECK(still.sqes - hungry.sqes <= 1); // the poll that wakes a sleeping executor
            kept.pop_back();                      // one block is enough for all
        });
        CHECK(std::ranges::count(received, count) == sockets);
        CHECK(stream_was_served);
        // One for each block that came home at most, and those from before.
        CHECK(home.stats().no_buffers <= 4 * (sockets * count + 1));
        kept.clear();
        CHECK(home.buffers().provided() + home.buffers().free() == few_blocks);
    });
}

TEST_CASE("a_datagram_server_to_which_nothing_comes_is_not_woken") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        executor& home = *executor::current();
        std::vector<udp_socket> servers;
        udp_socket client = must(udp_socket::bind({"127.0.0.1", 0}));
        for (int number = 0; number < 10; ++number)
            servers.push_back(must(udp_socket::bind({"127.0.0.1", 0})));
        std::array<int, 10> received{};
        co_await scope([&](task_group& group) -> task<> {
            for (std::size_t at = 0; at < received.size(); ++at)
                group.spawn(receive_in_order(servers[at], 2, received[at]));
            for (udp_socket& each : servers) must(co_await client.send_to(must(each.local()), "0"));
            co_await until([&] { return std::ranges::count(received, 1) == 10; });
            co_await settle();
            const statistics before = home.stats();
            must(co_await chainring::sleep(kernel_under_test::simulation() != nullptr ? duration(1h) : 20ms));
            const statistics behind = home.stats();
            // For the sleep: a timer of an hour is looked at some times on its way.
            CHECK(behind.turns - before.turns <= 8);
            CHECK(behind.enters - before.enters <= 8);
            CHECK(behind.sqes - before.sqes <= 1); // the poll that wakes a sleeping executor
            CHECK(behind.cqes == before.cqes);
            for (udp_socket& each : servers) must(co_await client.send_to(must(each.local()), "1"));
        });
        CHECK(std::ranges::count(received, 2) == 10);
    });
}

TEST_CASE("what_an_unread_datagram_socket_holds_is_bounded_however_much_is_sent_to_it", "[linux]") {
    const task_work_mode mode = GENERATE(both_modes());
    on_executor(mode, [mode]() -> task<> {
        executor& home = *executor::current();
        const auto held = [&home] { return blocks_held(home.buffers()); };
        std::vector<udp_socket> unread;
        for (int number = 0; number < 5; ++number) {
            unread.push_back(must(udp_socket::bind({"127.0.0.1", 0})));
            const endpoint to = must(unread.back().local());
            const plain_socket sender = plain_socket::connected_to(to, 0, SOCK_DGRAM);
            CHECK(sender.send("first"));
            (void)must(co_await unread.back().receive());
            const std::uint32_t before = held();
            co_await until([&] {
                for (int more = 0; more < 200; ++more) (void)sender.send("more");
                return home.stats().operations_in_flight == 0;
            });
            CHECK(held() - before >= receive_queue::most_blocks);
            CHECK(held() - before <= most_blocks_held(mode));
        }
    });
}
