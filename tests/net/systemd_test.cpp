// What a service manager hears, and what it may have passed. Real descriptors pass in tests/project/handed_over.
#include "datagrams.hpp"

#include <chainring/net/systemd.hpp>
#include <chainring/net/tcp.hpp>

#include <cstdlib>

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

// Variables of the environment, for the length of a test.
class variables {
  public:
    variables(std::initializer_list<std::pair<const char*, std::string>> all) {
        for (const auto& [name, value] : all) {
            ::setenv(name, value.c_str(), 1);
            names_.push_back(name);
        }
    }
    ~variables() {
        for (const char* const name : names_) ::unsetenv(name);
    }
    variables(const variables&) = delete;
    variables& operator=(const variables&) = delete;

  private:
    std::vector<const char*> names_;
};

std::string as_systemd_has_it(const endpoint& at) {
    return at.to_string().substr(std::string_view("unix:").size());
}

} // namespace

TEST_CASE("without_a_service_manager_nobody_is_told_and_nothing_was_passed") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        const result<bool> told = co_await systemd::notify("READY=1");
        CHECK(told == false);
        const result<void> fed = co_await systemd::feed_watchdog();
        CHECK(fed.has_value());
        auto passed = must(systemd::passed_sockets::take());
        CHECK(passed.empty());
        CHECK(error_of(passed.adopt<tcp_listener>("web")) == errc::not_passed);
    });
}

TEST_CASE("a_service_manager_is_told") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver manager(over_unix_datagrams::somewhere());
        const variables set{{"NOTIFY_SOCKET", as_systemd_has_it(manager.local())}};
        const result<bool> told = co_await systemd::notify("READY=1\nSTATUS=serving");
        CHECK(told == true);
        CHECK(manager.next() == "READY=1\nSTATUS=serving");
    });
}

TEST_CASE("a_notify_socket_that_is_none_is_refused_and_one_that_is_gone_is_an_error") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        for (const char* wrong : {"", "127.0.0.1:7", "relative/path", "@"}) {
            const variables set{{"NOTIFY_SOCKET", wrong}};
            const result<bool> told = co_await systemd::notify("READY=1");
            CAPTURE(wrong);
            CHECK_FALSE(told.has_value());
        }
        const variables set{{"NOTIFY_SOCKET", "@nobody-is-there"}};
        const result<bool> told = co_await systemd::notify("READY=1");
        CHECK(error_of(told) == std::errc::connection_refused);
    });
}

TEST_CASE("the_watchdog_is_fed_twice_in_each_period") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const plain_receiver manager(over_unix_datagrams::somewhere());
        const variables set{
            {"NOTIFY_SOCKET", as_systemd_has_it(manager.local())}, {"WATCHDOG_USEC", "20000"}};
        const time_point begin = executor::current()->now();
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([]() -> task<> {
                const result<void> fed = co_await systemd::feed_watchdog();
                CHECK(fed == failure(errc::cancelled));
            }());
            int heard = 0;
            while (heard < 4) {
                const auto text = manager.next();
                if (text) {
                    CHECK(*text == "WATCHDOG=1");
                    ++heard;
                } else {
                    (void)co_await sleep(1ms);
                }
            }
            group.cancel();
        });
        CHECK(executor::current()->now() - begin >= 30ms);
    });
}

TEST_CASE("the_period_of_a_watchdog_is_this_processs_own_and_has_to_be_a_number") {
    const auto period = [] { return systemd::watchdog_period(); };
    CHECK(must(period()) == std::nullopt);
    {
        const variables set{{"WATCHDOG_USEC", "1500000"}};
        CHECK(must(period()) == duration(1500ms));
    }
    {
        const variables set{{"WATCHDOG_USEC", "1500000"}, {"WATCHDOG_PID", std::to_string(::getpid())}};
        CHECK(must(period()) == duration(1500ms));
    }
    {
        const variables set{{"WATCHDOG_USEC", "1500000"}, {"WATCHDOG_PID", "1"}};
        CHECK(must(period()) == std::nullopt);
    }
    for (const char* wrong : {"", "0", "-1", "1s", "9223372036854775807", "99999999999999999999"}) {
        const variables set{{"WATCHDOG_USEC", wrong}};
        CAPTURE(wrong);
        CHECK(error_of(period()) == errc::malformed_environment);
    }
    const variables set{{"WATCHDOG_USEC", "1500000"}, {"WATCHDOG_PID", "me"}};
    CHECK(error_of(period()) == errc::malformed_environment);
}

TEST_CASE("variables_of_passed_sockets_are_taken_whether_they_fit_or_not", "[linux]") {
    const std::string own = std::to_string(::getpid());
    for (const auto& [count, names] :
         {std::pair("one", "web"), std::pair("0", ""), std::pair("1", "web:admin"), std::pair("-1", ""),
          std::pair("99999999999", "")}) {
        const variables set{{"LISTEN_PID", own}, {"LISTEN_FDS", count}, {"LISTEN_FDNAMES", names}};
        CAPTURE(count, names);
        CHECK(error_of(systemd::passed_sockets::take()) == errc::malformed_environment);
        CHECK(std::getenv("LISTEN_FDS") == nullptr);
        CHECK(must(systemd::passed_sockets::take()).empty());
    }
    {
        const variables set{{"LISTEN_PID", own}, {"LISTEN_FDS", "100000"}};
        CHECK(error_of(systemd::passed_sockets::take()) == std::errc::bad_file_descriptor);
    }
    const variables set{{"LISTEN_PID", "1"}, {"LISTEN_FDS", "1"}};
    CHECK(must(systemd::passed_sockets::take()).empty());
    CHECK(std::getenv("LISTEN_FDS") != nullptr); // another process's
}
