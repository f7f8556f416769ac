// The ways to send a batch: whichever it is, the same bytes arrive and the senders learn the same.
#include "../runtime/forwarding_kernel.hpp"
#include "sockets.hpp"

#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

bool has_bundles() {
    return (executor::current()->submissions().native().features & IORING_FEAT_RECVSEND_BUNDLE) != 0;
}

// False: this kernel lacks that way.
bool set_path(stream& of, send_path path) {
    const result<void> set = of.set_send_path(path);
    if (set) return true;
    CHECK(error_of(set) == std::errc::operation_not_supported);
    CHECK(path == send_path::bundled);
    CHECK_FALSE(has_bundles());
    return false;
}

// Messages of different sizes, each in memory of its own. The text of all of them.
template <class Stream> task<std::string> write_many(Stream& to, std::size_t count, std::size_t most_bytes) {
    std::string all;
    for (std::size_t at = 0; at < count; ++at) {
        std::string text(at * 7919 % most_bytes + 1, static_cast<char>('a' + at % 26));
        all += text;
        must(co_await to.write(std::move(text)));
    }
    co_return all;
}

task<> read_all_into(const plain_socket& from, std::string& all) {
    all = co_await read_plain_to_end(from);
}

send_path each_path() {
    return GENERATE(send_path::gathered, send_path::chained, send_path::bundled);
}

class without_bundles final : public forwarding_kernel {
  public:
    int open_ring(io_uring& ring, const ring_options& options) noexcept override {
        const int returned = forwarding_kernel::open_ring(ring, options);
        ring.features &= ~unsigned{IORING_FEAT_RECVSEND_BUNDLE};
        return returned;
    }
};

task<> bundles_are_refused_and_the_stream_goes_on() {
    auto pair = co_await connected_to_plain<over_tcp>();
    const result<void> refused = pair.stream.set_send_path(send_path::bundled);
    CHECK(error_of(refused) == std::errc::operation_not_supported);
    const std::string expected = co_await write_many(pair.stream, 10, 100);
    const std::string received = co_await read_plain(pair.peer, expected.size());
    CHECK(received == expected);
    CHECK(executor::current()->stats().bundles_sent == 0);
}

} // namespace

TRANSPORT_TEST_CASE("each_way_of_sending_a_batch_delivers_all_of_it_in_order") {
    const send_path path = each_path();
    const int buffers = GENERATE(0, 4096);
    on_executor(GENERATE(both_modes()), [=]() -> task<> {
        auto pair = co_await connected_to_plain<over_any>(buffers);
        if (!set_path(pair.stream, path)) co_return;
        const statistics before = executor::current()->counters();
        std::string received;
        std::string expected;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(read_all_into(pair.peer, received));
            for (int round = 0; round < 3; ++round) expected += co_await write_many(pair.stream, 40, 5000);
            must(co_await pair.stream.shutdown());
        });
        CHECK((received == expected));
        const statistics& after = executor::current()->counters();
        CHECK((after.bundles_sent > before.bundles_sent) == (path == send_path::bundled));
        if (path == send_path::bundled) CHECK(after.silent_sqes == before.silent_sqes);
        if (path == send_path::chained) CHECK(after.silent_sqes >= before.silent_sqes + 39);
    });
}

TEST_CASE("more_messages_than_a_bundle_carries_are_gathered") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_unix>();
        if (!set_path(pair.stream, send_path::bundled)) co_return;
        const std::string expected = co_await write_many(pair.stream, 257, 20);
        const std::string received = co_await read_plain(pair.peer, expected.size());
        CHECK(received == expected);
        CHECK(executor::current()->counters().bundles_sent == 0);
        const std::string more = co_await write_many(pair.stream, 256, 20);
        const std::string as_a_bundle = co_await read_plain(pair.peer, more.size());
        CHECK(as_a_bundle == more);
        CHECK(executor::current()->counters().bundles_sent == 1);
    });
}

TEST_CASE("the_way_may_change_while_a_batch_is_in_flight") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        const send_path paths[] = {send_path::gathered, send_path::chained, send_path::bundled};
        std::string received;
        std::string expected;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(read_all_into(pair.peer, received));
            for (std::size_t round = 0; round < 60; ++round) {
                set_path(pair.stream, paths[round % 3]);
                expected += co_await write_many(pair.stream, 5, 3000);
                if (round % 2 == 0) co_await one_turn();
            }
            must(co_await pair.stream.shutdown());
        });
        CHECK((received == expected));
    });
}

TEST_CASE("each_way_says_which_messages_a_reset_has_cost") {
    const send_path path = each_path();
    on_executor(GENERATE(both_modes()), [=]() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        if (!set_path(pair.stream, path)) co_return;
        co_await congest(pair);
        std::vector<std::error_code> errors(5);
        co_await scope([&](task_group& group) -> task<> {
            for (std::error_code& each : errors) {
                group.spawn([](tcp_stream& to, std::error_code& told) -> task<> {
                    const auto sent = co_await to.send(std::string(3000, 'x'));
                    told = error_of(sent);
                }(pair.stream, each));
            }
            co_await settle();
            pair.peer.reset();
        });
        CHECK(errors.front() == std::errc::connection_reset);
        for (std::size_t at = 1; at < errors.size(); ++at) CHECK(errors[at] == errc::never_started);
    });
}

TEST_CASE("only_a_chain_keeps_the_boundaries_of_messages") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_seqpacket>();
        must(pair.near.set_send_path(send_path::chained));
        for (const send_path merging : {send_path::gathered, send_path::bundled}) {
            const result<void> refused = pair.near.set_send_path(merging);
            CHECK(error_of(refused) == std::errc::operation_not_supported);
        }
        seqpacket_stream closed;
        const result<void> nothing = closed.set_send_path(send_path::chained);
        CHECK(error_of(nothing) == errc::closed);
    });
}

TEST_CASE("a_kernel_without_bundles_says_so_and_the_stream_goes_on", "[linux]") {
    without_bundles kernel;
    executor home({}, kernel);
    home.run(bundles_are_refused_and_the_stream_goes_on());
    check_baseline(home);
}

TEST_CASE("bundles_that_the_kernel_got_wrong_when_they_were_tried_are_refused", "[linux]") {
    class with_wrong_bundles final : public forwarding_kernel {
        bool sends_bundles() noexcept override { return false; }
    } kernel;
    executor home({}, kernel);
    home.run(bundles_are_refused_and_the_stream_goes_on());
    check_baseline(home);
}

TEST_CASE("a_stream_that_sends_bundles_may_outlive_its_executor", "[linux]") {
    tcp_stream kept;
    {
        executor home;
        home.run([](tcp_stream& into) -> task<> {
            auto pair = co_await connected_to_plain<over_tcp>();
            set_path(pair.stream, send_path::bundled);
            into = std::move(pair.stream);
        }(kept));
    }
    CHECK_FALSE(kept.is_open());
}
