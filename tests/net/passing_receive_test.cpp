// What a receive of descriptors is told, and what becomes of it beside other receives, and on sockets that others use.
#include "adopted.hpp"
#include "plain_passing.hpp"

#include <fcntl.h>

#include <optional>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

LOCAL_TEST_CASE("a_receive_that_goes_on_ahead_keeps_descriptors_from_being_received", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        std::array<char, 8> memory{};
        co_await send_all(pair.near, "into");
        const std::size_t size = must(co_await pair.far.receive_into(bytes_of_memory(memory)));
        CHECK(size == 4);
        const auto pipe = made_pipe();
        must(co_await pair.near.send_fd(pipe.reading.get(), "d"));
        const auto received = must(co_await pair.far.receive_fd(bytes_of_memory(memory)));
        CHECK(received.descriptors.size() == 1);

        co_await send_all(pair.near, "leased");
        co_await expect(pair.far, "leased");
        const auto refused = co_await pair.far.receive_fd(bytes_of_memory(memory));
        CHECK(error_of(refused) == errc::receives_ahead);
        co_await send_all(pair.near, "goes on");
        co_await expect(pair.far, "goes on");
    });
}

LOCAL_TEST_CASE("what_a_receive_took_ahead_is_not_mistaken_for_bytes_without_descriptors", "[linux]") {
    const bool ended = GENERATE(false, true);
    executor_options options = options_for(GENERATE(both_modes()));
    options.buffers.block_size = 64;
    on_executor(options, [ended]() -> task<> {
        auto pair = co_await connected<over_any>();
        const auto pipe = made_pipe();
        const std::string block(64, 'x');
        co_await send_all(pair.near, block);
        co_await expect(pair.far, block);
        must(co_await pair.near.send_fd(pipe.reading.get(), "d"));
        std::string behind = "d";
        for (int each = 0; each < 40 && !ended; ++each, behind += block)
            must(co_await pair.near.write(block));
        if (ended)
            must(co_await pair.near.close());
        else
            must(co_await pair.near.flush());
        co_await settle();
        // It has stopped, at the end or because nobody takes what has come.
        CHECK(executor::current()->stats().operations_in_flight == 0);

        std::array<char, 8> memory{};
        const auto refused = co_await pair.far.receive_fd(bytes_of_memory(memory));
        CHECK(error_of(refused) == errc::receives_ahead);
        const std::string taken = co_await receive_exactly(pair.far, behind.size());
        CHECK((taken == behind));
    });
}

LOCAL_TEST_CASE("a_receive_of_descriptors_ends_with_the_stream", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>();
        must(co_await pair.near.close());
        std::array<char, 8> memory{};
        const auto received = must(co_await pair.far.receive_fd(bytes_of_memory(memory)));
        CHECK(received.size == 0);
        CHECK(received.descriptors.empty());
        must(co_await pair.far.close());
        const auto after = co_await pair.far.receive_fd(bytes_of_memory(memory));
        CHECK(error_of(after) == errc::closed);
        const auto of_whom = pair.far.peer_credentials();
        CHECK(error_of(of_whom) == errc::closed);
    });
}

LOCAL_TEST_CASE("bytes_that_were_received_before_come_without_descriptors", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_connection<over_any>();
        const byte_span pieces[] = {bytes_of_text("before")};
        CHECK(send_plainly(pair.far, pair.far.get(), 'd'));
        auto stream = adopted<over_any>(pair.near, pieces);
        std::array<char, 8> memory{};
        const auto first = must(co_await stream.receive_fd(bytes_of_memory(memory)));
        CHECK(first.size == 6);
        CHECK(first.descriptors.empty());
        const auto second = must(co_await stream.receive_fd(bytes_of_memory(memory)));
        CHECK(second.size == 1);
        CHECK(second.descriptors.size() == 1);
    });
}

LOCAL_TEST_CASE("what_a_receive_that_is_destroyed_has_received_is_closed", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = plain_connection<over_any>();
        auto stream = adopted<over_any>(pair.near);
        std::array<char, 8> memory{};
        const std::size_t before = open_descriptors();
        cancel_scope& here = co_await this_scope{};
        std::optional<task_group> group(std::in_place, here);
        group->spawn([](auto& from, std::span<std::byte> into) -> task<> {
            (void)co_await from.receive_fd(into);
            FAIL("it was destroyed");
        }(stream, bytes_of_memory(memory)));
        co_await settle();
        CHECK(send_plainly(pair.far, pair.far.get(), 'd')); // in latency mode the kernel receives it at once
        group.reset();
        CHECK(open_descriptors() == before);
    });
}

namespace {

// A receive of descriptors on a socket that does not block, and that somebody else reads as well: the kernel gives the receive
// up in the end.
template <class Stream> struct robbed {
    Stream& stream;
    const plain_socket& peer;
    result<received_descriptors> received;
    bool done = false;

    static task<> receive(robbed& own) {
        std::array<char, 8> memory{};
        own.received = co_await own.stream.receive_fd(bytes_of_memory(memory));
        own.done = true;
    }
    // Until the kernel has given it up, and it has not begun anew yet.
    static task<> rob(robbed& own) {
        const executor& home = *executor::current();
        co_await settle();
        const std::uint32_t waiting = home.stats().operations_in_flight;
        for (int thefts = 0; thefts < 2000; ++thefts) {
            CHECK(own.peer.send("x"));
            char stolen = 0;
            (void)::recv(own.stream.native_handle(), &stolen, 1, MSG_DONTWAIT);
            co_await one_turn();
            if (home.stats().operations_in_flight < waiting) co_return;
        }
        WARN("this kernel has not given it up");
    }
};

enum class then { goes_on, is_cancelled, is_closed, is_destroyed };

} // namespace

LOCAL_TEST_CASE("a_receive_that_the_kernel_gives_up_for_no_reason_goes_on", "[linux]") {
    const then it = GENERATE(then::goes_on, then::is_cancelled, then::is_closed, then::is_destroyed);
    on_executor(task_work_mode::throughput, [it]() -> task<> { // else it receives ahead of the thief
        auto pair = plain_connection<over_any>();
        ::fcntl(pair.near.get(), F_SETFL, O_NONBLOCK);
        auto stream = adopted<over_any>(pair.near);
        robbed<over_any::stream> own{stream, pair.far, {}};
        cancel_scope& here = co_await this_scope{};
        std::optional<task_group> group(std::in_place, here);
        group->spawn(own.receive(own));
        co_await own.rob(own);
        if (own.done) co_return;
        // The worker thread that tries it once more was faster than the thief, and the task is about to hear of it.
        const auto has_received = [&own] { return own.received && own.received->descriptors.empty(); };
        switch (it) {
        case then::goes_on:
            CHECK(send_plainly(pair.far, pair.far.get(), 'd'));
            co_await group->join();
            REQUIRE(own.received);
            if (!has_received()) CHECK(own.received->descriptors.size() == 1);
            break;
        case then::is_cancelled:
            group->cancel();
            co_await group->join();
            if (!has_received()) CHECK(error_of(own.received) == errc::cancelled);
            break;
        case then::is_closed:
            must(co_await stream.close());
            co_await group->join();
            if (!has_received()) CHECK(error_of(own.received) == errc::closed);
            break;
        case then::is_destroyed: break;
        }
        group.reset();
        CHECK(own.done == (it != then::is_destroyed));
    });
}
