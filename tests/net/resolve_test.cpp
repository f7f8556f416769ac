#include "sockets.hpp"

#include <netdb.h>

#include <semaphore>
#include <set>
#include <thread>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

// For lookups that are counted, or never made.
struct known_names {
    int lookups = 0;
    std::string host;
    std::string service;
    std::vector<endpoint> answer{{"::1", 80}, {"127.0.0.1", 80}};

    resolve_options options() {
        return {.lookup = [this](const std::string& host_, const std::string& service_) {
            ++lookups;
            host = host_;
            service = service_;
            return result<std::vector<endpoint>>(answer);
        }};
    }
};

} // namespace

TEST_CASE("numeric_addresses_are_resolved_without_a_lookup") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        known_names names;
        blocking_pool pool;
        resolve_options options = names.options();
        options.pool = &pool;
        const auto four = must(co_await resolve("127.0.0.1", "7000", options));
        CHECK(four == std::vector<endpoint>{{"127.0.0.1", 7000}});
        const auto six = must(co_await resolve("::1", "65535", options));
        CHECK(six == std::vector<endpoint>{{"::1", 65535}});
        const auto lowest = must(co_await resolve("0.0.0.0", "0", options));
        CHECK(lowest == std::vector<endpoint>{{"0.0.0.0", 0}});
        CHECK(names.lookups == 0);
        CHECK(pool.threads() == 0);
    });
}

TEST_CASE("a_name_is_looked_up_on_the_pool_and_the_order_is_kept", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        known_names names;
        blocking_pool pool;
        resolve_options options = names.options();
        options.pool = &pool;
        const auto found = must(co_await resolve("server.test", "http", options));
        CHECK(found == names.answer);
        CHECK(names.lookups == 1);
        CHECK(names.host == "server.test");
        CHECK(names.service == "http");
        CHECK(pool.threads() == 1);
        // The name of a service stands in a file.
        (void)co_await resolve("127.0.0.1", "http", options);
        CHECK(names.lookups == 2);
    });
}

TEST_CASE("the_name_of_this_machine_resolves_to_loopback_addresses", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const auto found = co_await resolve("localhost", "7000");
        if (!found) SKIP("no localhost here: " << found.error().message());
        CHECK_FALSE(found->empty());
        for (std::size_t i = 0; i < found->size(); ++i) {
            CHECK(found->at(i).port() == 7000);
            const std::string text = found->at(i).to_string();
            const bool loopback = text.starts_with("127.") || text.starts_with("[::1]");
            CHECK(loopback);
            for (std::size_t other = 0; other < i; ++other) CHECK(found->at(other) != found->at(i));
        }
    });
}

TEST_CASE("a_name_that_does_not_resolve_is_an_error_of_the_resolver", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        // Never a name (RFC 6761). Without a name server nobody can know that, and the answer is "try again".
        const auto none = co_await resolve("no-such-host.invalid", "80");
        REQUIRE_FALSE(none.has_value());
        CAPTURE(none.error().message());
        const bool expected = none.error() == resolve_errc::no_such_name ||
                              none.error() == resolve_errc::no_address ||
                              none.error() == resolve_errc::try_again;
        CHECK(expected);
        CHECK_FALSE(none.error().message().empty());
    });
}

TEST_CASE("an_error_of_a_lookup_is_the_outcome", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const auto answer = [](const std::string&, const std::string&) -> result<std::vector<endpoint>> {
            return failure(make_error_code(resolve_errc::try_again));
        };
        resolve_options options;
        options.lookup = answer;
        const auto none = co_await resolve("server.test", "80", options);
        CHECK(error_of(none) == resolve_errc::try_again);
        options.lookup = [](const std::string&, const std::string&) -> result<std::vector<endpoint>> {
            throw std::runtime_error("no memory for names");
        };
        std::string caught;
        try {
            (void)co_await resolve("server.test", "80", options);
        } catch (const std::runtime_error& error) {
            caught = error.what();
        }
        CHECK(caught == "no memory for names");
    });
}

TEST_CASE("what_cannot_be_a_host_or_a_service_is_refused_without_a_lookup") {
    const std::string service =
        GENERATE(as<std::string>(), "", "70000", "65536", "-1", "+80", " 80", "80\0"s);
    on_executor(task_work_mode::throughput, [&]() -> task<> {
        known_names names;
        const auto none = co_await resolve("server.test", service, names.options());
        CHECK(error_of(none) == resolve_errc::unknown_service);
        const auto numeric = co_await resolve("127.0.0.1", service, names.options());
        CHECK(error_of(numeric) == resolve_errc::unknown_service);
        const auto empty = co_await resolve("", "80", names.options());
        CHECK(error_of(empty) == resolve_errc::no_such_name);
        const auto cut = co_await resolve("127.0.0.1\0.test"s, "80", names.options());
        CHECK(error_of(cut) == resolve_errc::no_such_name);
        CHECK(names.lookups == 0);
    });
}

TEST_CASE("a_service_that_nobody_knows_is_told_from_a_host_that_nobody_knows", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        const auto none = co_await resolve("127.0.0.1", "no-such-service");
        CHECK(error_of(none) == resolve_errc::unknown_service);
    });
}

TEST_CASE("errors_of_the_resolver_have_messages_and_conditions") {
    const std::array all = {resolve_errc::no_such_name,    resolve_errc::no_address,
                            resolve_errc::try_again,       resolve_errc::server_failed,
                            resolve_errc::unknown_service, resolve_errc::out_of_memory};
    std::set<std::string> messages;
    for (const resolve_errc condition : all) {
        const std::error_code code = condition;
        CHECK(&code.category() == &resolver_category());
        messages.insert(code.message());
    }
    CHECK(messages.size() == all.size());
    CHECK(messages.count("") == 0);
    CHECK(from_getaddrinfo(EAI_NONAME, 0) == resolve_errc::no_such_name);
    CHECK(from_getaddrinfo(EAI_SYSTEM, EMFILE) == std::errc::too_many_files_open);
    CHECK(from_getaddrinfo(EAI_FAMILY, 0).message() == ::gai_strerror(EAI_FAMILY));
    CHECK(std::error_code(resolve_errc::try_again) == std::errc::resource_unavailable_try_again);
    CHECK(std::error_code(resolve_errc::out_of_memory) == std::errc::not_enough_memory);
    CHECK(std::string_view(resolver_category().name()) == "resolver");
}

TEST_CASE("a_lookup_that_waits_for_a_thread_is_withdrawn_when_it_is_cancelled", "[linux]") {
    std::binary_semaphore running(0);
    std::binary_semaphore may_end(0);
    on_executor(GENERATE(both_modes()), [&]() -> task<> {
        known_names names;
        blocking_pool pool({.threads = 1});
        resolve_options options = names.options();
        options.pool = &pool;
        result<std::vector<endpoint>> outcome;
        task_group others(co_await this_scope{});
        task_group cancelled(co_await this_scope{});
        auto occupy = [&]() -> task<> {
            auto work = [&] {
                running.release();
                may_end.acquire();
            };
            (void)co_await offload(pool, std::move(work));
        };
        auto ask = [&]() -> task<> { outcome = co_await resolve("server.test", "80", options); };
        others.spawn(occupy());
        co_await pass();
        running.acquire();
        cancelled.spawn(ask());
        co_await pass();
        cancelled.cancel();
        co_await cancelled.join();
        CHECK(error_of(outcome) == errc::cancelled);
        CHECK(names.lookups == 0);
        may_end.release();
        co_await others.join();
    });
}
