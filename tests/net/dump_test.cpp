// What executor::dump says about tasks that wait for the network: the descriptor and both ends.
#include "sockets.hpp"

#include <chainring/runtime/deadline.hpp>
#include <chainring/runtime/sleep.hpp>

#include <catch2/matchers/catch_matchers_string.hpp>

#include <sstream>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("a_dump_names_the_socket_that_a_task_waits_for") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto listener = must(tcp_listener::bind(over_tcp::somewhere()));
        auto pair = co_await connected_to_plain<over_tcp>(4096);
        const std::string at = must(pair.stream.local()).to_string();
        const std::string with = must(pair.stream.peer()).to_string();
        const std::string both = "descriptor " + std::to_string(pair.stream.native_handle()) + ", at " + at +
                                 ", connected to " + with;
        std::ostringstream text;
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](tcp_listener& from) -> task<> { (void)co_await from.accept(); }(listener));
            group.spawn(
                [](tcp_stream& from) -> task<> { (void)co_await timeout(1h, from.receive()); }(pair.stream));
            co_await congest(pair);
            group.spawn([](tcp_stream& to) -> task<> { (void)co_await to.send("more"sv); }(pair.stream));
            co_await settle();
            executor::current()->dump(text);
            group.cancel();
        });
        CHECK_THAT(
            text.str(),
            ContainsSubstring(": accept on descriptor " + std::to_string(listener.native_handle())));
        CHECK_THAT(text.str(), ContainsSubstring(": receive on " + both + ", for "));
        CHECK_THAT(text.str(), ContainsSubstring(", deadline in 3"));
        CHECK_THAT(text.str(), ContainsSubstring(": send on " + both + ", for "));
    });
}

TEST_CASE("a_task_whose_connection_is_gone_is_about_to_go_on") {
    on_executor(executor_options(), []() -> task<> {
        std::ostringstream text;
        auto pair = co_await connected_to_plain<over_tcp>();
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](tcp_stream& from) -> task<> { (void)co_await from.receive(); }(pair.stream));
            co_await settle();
            group.cancel();
            pair.stream = {};
            executor::current()->dump(text);
        });
        CHECK_THAT(text.str(), ContainsSubstring(": about to go on"));
    });
}
