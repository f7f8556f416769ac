// Listeners that leave with their descriptor, which goes on listening.
#include "adopted.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

CONNECTION_TEST_CASE("a_released_listener_goes_on_listening_and_loses_no_connection") {
    const bool into_direct = GENERATE(false, true);
    executor_options options = options_for(GENERATE(both_modes()));
    options.direct_descriptors = 8;
    on_executor(options, [into_direct]() -> task<> {
        const int type = over_any::stream::kind.type;
        auto listener = must(over_any::listener::bind(
            over_any::somewhere(), {.socket = {}, .direct_descriptors = into_direct}));
        const endpoint at = must(listener.local());
        std::vector<plain_socket> peers;
        const auto connect = [&](std::string_view text) {
            peers.push_back(plain_socket::connected_to(at, 0, type));
            CHECK(peers.back().send(text));
        };
        std::optional<connection_stream<over_any::stream>> all(listener);
        connect("first");
        {
            auto first = must(co_await all->next());
            co_await expect(first, "first");
        }
        connect("second");
        connect("third");
        co_await settle(); // they are accepted ahead
        outcome told;
        connect("fourth"); // may be, or stays in the backlog
        auto released = must(co_await listener.release());
        CHECK_FALSE(listener.is_open());
        CHECK(released.accepted.size() >= 2);
        connect("fifth");
        co_await scope([&](task_group& group) -> task<> { // its listener is gone
            group.spawn(accept_one(listener, told));
            co_return;
        });
        CHECK(told.error == errc::closed);

        auto again = must(over_any::listener::adopt(std::move(released.descriptor)));
        while (released.accepted.size() < 4) {
            auto next = must(co_await again.accept());
            released.accepted.push_back(std::move(next));
        }
        const std::array texts{"second"sv, "third"sv, "fourth"sv, "fifth"sv};
        for (std::size_t each = 0; each < texts.size(); ++each)
            co_await expect(released.accepted[each], std::string(texts[each]));
    });
}

TRANSPORT_TEST_CASE("who_accepts_from_a_released_listener_is_told") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        outcome told;
        std::optional<released_listener<over_any::stream>> released;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn(accept_one(listener, told));
            co_await settle();
            auto taken = must(co_await listener.release());
            released.emplace(std::move(taken));
        });
        CHECK(told.error == errc::closed);
        CHECK(released->accepted.empty());
        const auto twice = co_await listener.release();
        CHECK(error_of(twice) == errc::closed);
    });
}

TEST_CASE("a_released_unix_listener_keeps_its_path", "[linux]") {
    const std::string path = "/tmp/" + unique_name();
    const endpoint at = must(endpoint::from_path(path));
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        auto listener = must(unix_listener::bind(at));
        auto released = must(co_await listener.release());
        CHECK(plain_socket::connected_to(at).open());
        ::unlink(path.c_str());
    });
}

TRANSPORT_TEST_CASE("a_release_of_a_listener_that_is_destroyed_closes_it") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(over_any::listener::bind(over_any::somewhere()));
        const auto all = listener.connections();
        co_await settle();
        const plain_socket peer = plain_socket::connected_to(must(listener.local()));
        {
            cancel_scope& here = co_await this_scope{};
            task_group group(here);
            group.spawn([](auto& from) -> task<> { (void)co_await from.release(); }(listener));
            co_await pass();
        }
        const std::string nothing = co_await read_plain_to_end(peer);
        CHECK(nothing.empty());
    });
}
