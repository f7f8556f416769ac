// What SQEs point to stays as it is until they are submitted, also when the submission queue is full in the middle of
// a turn and has to be emptied.
#include "sockets.hpp"

#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace {

executor_options with_two_submissions(task_work_mode mode) {
    executor_options options = options_for(mode);
    options.ring.submission_entries = 2;
    return options;
}

task<> take_one_submission() {
    (void)co_await one_turn();
}

task<> connect_and_keep(endpoint to, tcp_stream& into) {
    into = must(co_await tcp_stream::connect(to));
}

} // namespace

TRANSPORT_TEST_CASE("each_batch_keeps_its_pieces_while_room_is_made_for_others") {
    on_executor(with_two_submissions(GENERATE(both_modes())), []() -> task<> {
        const std::vector<int> messages{1, 1, 2, 40, 3, 2, 50};
        std::vector<stream_and_peer<over_any>> pairs;
        for (std::size_t at = 0; at < messages.size(); ++at)
            pairs.push_back(co_await connected_to_plain<over_any>());
        std::vector<std::string> expected(messages.size());
        for (std::size_t at = 0; at < messages.size(); ++at) {
            for (int count = 0; count < messages[at]; ++count) {
                std::string text(100 + at, static_cast<char>('a' + at));
                expected[at] += text;
                must(co_await pairs[at].stream.write(std::move(text)));
            }
        }
        for (std::size_t at = 0; at < messages.size(); ++at) {
            CAPTURE(at);
            const std::string received = co_await read_plain(pairs[at].peer, expected[at].size());
            CHECK(received == expected[at]);
        }
    });
}

TEST_CASE("each_connect_keeps_its_address_while_room_is_made_for_others") {
    on_executor(with_two_submissions(GENERATE(both_modes())), []() -> task<> {
        auto first = must(tcp_listener::bind(over_tcp::somewhere()));
        auto second = must(tcp_listener::bind(over_tcp::somewhere()));
        const endpoint to_first = must(first.local());
        const endpoint to_second = must(second.local());
        tcp_stream one;
        tcp_stream two;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(take_one_submission());
            group.spawn(take_one_submission());
            group.spawn(connect_and_keep(to_first, one));
            group.spawn(connect_and_keep(to_second, two));
            co_return;
        });
        CHECK(must(one.peer()) == to_first);
        CHECK(must(two.peer()) == to_second);
    });
}
