// What a service manager hears, and what it may have passed. Real descriptors pass in tests/project/handed_over.
#include "datagrams.hpp"

#include <chainring/net/systemd.hpp>
#include <chainring/net/tcp.hpp>

#include <cstdlib>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

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
        CHECK(error_of(passed.adopt<tcp_listener>("web")) == systemd_errc::not_passed);
        const datagram_options options{.packet_info = true};
        CHECK(error_of(passed.adopt<udp_socket>("dns", options)) == systemd_errc::not_passed);
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
        for (const std::string& wrong :
             {""s, "127.0.0.1:7"s, "relative/path"s, "@"s, "/" + std::string(107, 'x')}) {
            const variables set{{"NOTIFY_SOCKET", wrong}, {"WATCHDOG_USEC", "20000"}};
            const result<bool> told = co_await systemd::notify("READY=1");
            CAPTURE(wrong);
            CHECK(error_of(told) == systemd_errc::malformed_notify_socket);
            const result<void> fed = co_await systemd::feed_watchdog();
            CHECK(error_of(fed) == systemd_errc::malformed_notify_socket);
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
        CHECK(error_of(period()) == systemd_errc::malformed_watchdog_usec);
    }
    const variables set{{"WATCHDOG_USEC", "1500000"}, {"WATCHDOG_PID", "me"}};
    CHECK(error_of(period()) == systemd_errc::malformed_watchdog_pid);
}

TEST_CASE("variables_of_passed_sockets_are_taken_whether_they_fit_or_not", "[linux]") {
    const std::string own = std::to_string(::getpid());
    struct wrong {
        std::string pid, count, names;
        systemd_errc expected;
    };
    for (const wrong& each : {
             wrong{own, "one", "web", systemd_errc::malformed_listen_fds},
             wrong{own, "0", "", systemd_errc::malformed_listen_fds},
             wrong{own, "-1", "", systemd_errc::malformed_listen_fds},
             wrong{own, "99999999999", "", systemd_errc::malformed_listen_fds},
             wrong{own, "1", "web:admin", systemd_errc::malformed_listen_fdnames},
             wrong{"me", "1", "web", systemd_errc::malformed_listen_pid},
         }) {
        const variables set{
            {"LISTEN_PID", each.pid}, {"LISTEN_FDS", each.count}, {"LISTEN_FDNAMES", each.names}};
        CAPTURE(each.pid, each.count, each.names);
        CHECK(error_of(systemd::passed_sockets::take()) == each.expected);
        CHECK(std::getenv("LISTEN_FDS") == nullptr);
        CHECK(must(systemd::passed_sockets::take()).empty());
    }
    {
        const variables set{{"LISTEN_PID", own}, {"LISTEN_FDS", "100000"}};
        CHECK(error_of(systemd::passed_sockets::take()) == systemd_errc::missing_descriptors);
    }
    const variables set{{"LISTEN_PID", "1"}, {"LISTEN_FDS", "1"}};
    CHECK(must(systemd::passed_sockets::take()).empty());
    CHECK(std::getenv("LISTEN_FDS") != nullptr); // another process's
}

TEST_CASE("an_error_about_the_service_manager_names_the_variable") {
    using enum systemd_errc;
    const auto says = [](systemd_errc condition, std::string_view name) {
        const std::error_code code = condition;
        CAPTURE(code.message());
        CHECK(code.message().starts_with(name));
        CHECK(code == std::errc::invalid_argument);
    };
    says(malformed_listen_pid, "LISTEN_PID ");
    says(malformed_listen_fds, "LISTEN_FDS ");
    says(malformed_listen_fdnames, "LISTEN_FDNAMES ");
    says(malformed_notify_socket, "NOTIFY_SOCKET ");
    says(malformed_watchdog_pid, "WATCHDOG_PID ");
    says(malformed_watchdog_usec, "WATCHDOG_USEC ");
    const std::error_code missing = missing_descriptors;
    CHECK(missing.message().find("LISTEN_FDS") != std::string::npos);
    CHECK(missing == std::errc::bad_file_descriptor);
    const std::error_code none = not_passed;
    CHECK(none.message().find("passed no socket") != std::string::npos);
    CHECK(none.category() == systemd_category());
}
