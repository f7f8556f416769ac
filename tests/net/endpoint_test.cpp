#include "sockets.hpp"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

using namespace chainring;
using namespace std::literals;

namespace {

std::error_code parse_error(std::string_view text) {
    const auto parsed = endpoint::parse(text);
    CAPTURE(text);
    REQUIRE_FALSE(parsed.has_value());
    return parsed.error();
}

// Leaves bytes that are no zeros where the next call puts its variables.
[[gnu::noinline]] void dirty_the_stack() {
    volatile unsigned char dirt[4096];
    for (volatile unsigned char& each : dirt) each = 0xa5;
}

} // namespace

TEST_CASE("what_an_endpoint_prints_it_also_parses") {
    const char* text = GENERATE(
        "127.0.0.1:7000", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:7000", "[::]:1", "[fe80::1%1]:80",
        "[::ffff:1.2.3.4]:9", "unix:/run/app.sock", "unix:relative", "unix:@name", "unix:@",
        "unix:@with space");
    if (text == "unix:@"sv) {
        CHECK(parse_error(text) == errc::invalid_endpoint);
        return;
    }
    const auto parsed = endpoint::parse(text);
    REQUIRE(parsed.has_value());
    CHECK(parsed->to_string() == text);
    CHECK(endpoint::parse(parsed->to_string()).value() == *parsed);
}

TEST_CASE("an_endpoint_knows_its_parts") {
    const endpoint four = endpoint::parse("10.1.2.3:258").value();
    CHECK(four.family() == AF_INET);
    CHECK(four.port() == 258);
    CHECK(four.path().empty());
    CHECK(four.length() == sizeof(sockaddr_in));
    CHECK(reinterpret_cast<const sockaddr_in*>(four.address())->sin_addr.s_addr == htonl(0x0a010203));
    CHECK(reinterpret_cast<const sockaddr_in*>(four.address())->sin_port == htons(258));

    const endpoint six("::1", 7);
    CHECK(six.family() == AF_INET6);
    CHECK(six.port() == 7);
    CHECK(six.length() == sizeof(sockaddr_in6));

    const endpoint local = endpoint::parse("unix:/tmp/x").value();
    CHECK(local.family() == AF_UNIX);
    CHECK(local.port() == 0);
    CHECK(local.path() == "/tmp/x");

    const endpoint abstract = endpoint::parse("unix:@x").value();
    CHECK(abstract.family() == AF_UNIX);
    CHECK(abstract.path().empty());
    CHECK(abstract.length() == offsetof(sockaddr_un, sun_path) + 2);

    const endpoint none;
    CHECK(none.family() == AF_UNSPEC);
    CHECK(none.port() == 0);
    CHECK(none.path().empty());
    CHECK_FALSE(none.to_string().empty());
}

TEST_CASE("text_that_is_no_endpoint_is_refused") {
    for (const std::string_view text :
         {""sv,
          ":"sv,
          ":80"sv,
          "80"sv,
          "127.0.0.1"sv,
          "127.0.0.1:"sv,
          "127.0.0.1:65536"sv,
          "127.0.0.1:-1"sv,
          "127.0.0.1:+1"sv,
          "127.0.0.1: 1"sv,
          "127.0.0.1:1 "sv,
          "127.0.0.1:0x10"sv,
          "127.0.0.1:1a"sv,
          "127.0.0.1:99999999999999999999"sv,
          " 127.0.0.1:1"sv,
          "127.0.0:1"sv,
          "127.0.0.0.1:1"sv,
          "256.0.0.1:1"sv,
          "127.0.0.1%lo:1"sv,
          "localhost:80"sv,
          "[127.0.0.1]:80"sv,
          "::1:80"sv,
          "[::1]"sv,
          "[::1]:"sv,
          "[::1:80"sv,
          "::1]:80"sv,
          "[[::1]]:80"sv,
          "[]:80"sv,
          "[:::1]:80"sv,
          "[12345::]:80"sv,
          "[fe80::1%]:80"sv,
          "[fe80::1%0]:80"sv,
          "[fe80::1%no-such-interface]:80"sv,
          "[fe80::1%4294967296]:80"sv,
          "unix:"sv,
          "unix:@"sv,
          "UNIX:/x"sv,
          "/run/app.sock"sv,
          "@name"sv,
          "unix:/a\0b"sv,
          "127.0.0.1\0:80"sv,
          "127.0.0.1\0x:80"sv,
          "[::1\0x]:80"sv,
          "[fe80::1%lo\0x]:80"sv,
          "127.0.0.1:80\0"sv}) {
        CHECK(parse_error(text) == errc::invalid_endpoint);
        CHECK(parse_error(text) == std::errc::invalid_argument);
    }
}

TEST_CASE("an_address_with_a_port_inside_is_no_address") {
    CHECK(test::error_of(endpoint::from_address("127.0.0.1:80", 80)) == errc::invalid_endpoint);
    CHECK(test::error_of(endpoint::from_address("[::1]", 80)) == errc::invalid_endpoint);
    CHECK(test::error_of(endpoint::from_address("", 80)) == errc::invalid_endpoint);
    CHECK(test::error_of(endpoint::from_address("127.0.0.1\0x"sv, 80)) == errc::invalid_endpoint);
    CHECK(endpoint::from_address("127.0.0.1", 80).value() == endpoint::parse("127.0.0.1:80").value());
}

TEST_CASE("a_zone_is_an_interface_name_or_its_number") {
    const unsigned loopback = ::if_nametoindex("lo");
    if (loopback == 0) SKIP("no loopback interface");
    const endpoint by_name = endpoint::parse("[fe80::1%lo]:80").value();
    CHECK(reinterpret_cast<const sockaddr_in6*>(by_name.address())->sin6_scope_id == loopback);
    CHECK(by_name == endpoint::parse("[fe80::1%" + std::to_string(loopback) + "]:80").value());
    CHECK(by_name != endpoint::parse("[fe80::1]:80").value());
}

TEST_CASE("a_unix_path_has_at_most_107_bytes") {
    const std::string longest = '/' + std::string(106, 'p');
    const endpoint made = endpoint::from_path(longest).value();
    CHECK(made.path() == longest);
    CHECK(made.length() == sizeof(sockaddr_un));
    CHECK(made.to_string() == "unix:" + longest);
    CHECK(endpoint::parse("unix:" + longest).value() == made);

    CHECK(test::error_of(endpoint::from_path(longest + 'p')) == errc::path_too_long);
    CHECK(parse_error("unix:" + longest + 'p') == errc::path_too_long);
    CHECK(parse_error("unix:" + longest + 'p') == std::errc::filename_too_long);
}

TEST_CASE("a_unix_path_ends_with_a_null_whatever_was_in_memory_before") {
    const std::string path = "/a/path/that/is/longer/than/a/plain/sockaddr";
    dirty_the_stack();
    const endpoint made = endpoint::from_path(path).value();
    REQUIRE(made.length() == offsetof(sockaddr_un, sun_path) + path.size() + 1);
    CHECK(reinterpret_cast<const sockaddr_un*>(made.address())->sun_path[path.size()] == '\0');
    dirty_the_stack();
    CHECK(endpoint::from_path(path).value() == made);
}

TEST_CASE("an_abstract_name_has_at_most_107_bytes_and_may_hold_any") {
    const std::string longest(107, 'n');
    CHECK(endpoint::from_abstract_name(longest).value().to_string() == "unix:@" + longest);
    CHECK(test::error_of(endpoint::from_abstract_name(longest + 'n')) == errc::path_too_long);
    CHECK(parse_error("unix:@" + longest + 'n') == errc::path_too_long);
    CHECK(test::error_of(endpoint::from_abstract_name("")) == errc::invalid_endpoint);

    const endpoint binary = endpoint::from_abstract_name("a\0b"sv).value();
    CHECK(binary.to_string() == "unix:@a\0b"sv);
    CHECK(binary != endpoint::from_abstract_name("a").value());
    CHECK(endpoint::parse(binary.to_string()).value() == binary);
}

TEST_CASE("an_abstract_name_and_a_path_of_the_same_text_differ") {
    CHECK(endpoint::parse("unix:@x").value() != endpoint::parse("unix:x").value());
    CHECK(endpoint::parse("unix:@@x").value() == endpoint::from_abstract_name("@x").value());
}

TEST_CASE("endpoints_are_equal_when_all_of_their_parts_are") {
    CHECK(endpoint("127.0.0.1", 1) == endpoint("127.0.0.1", 1));
    CHECK(endpoint("127.0.0.1", 1) != endpoint("127.0.0.1", 2));
    CHECK(endpoint("127.0.0.1", 1) != endpoint("127.0.0.2", 1));
    CHECK(endpoint("127.0.0.1", 1) != endpoint("::1", 1));
    CHECK(endpoint() == endpoint());
}

TEST_CASE("an_address_in_the_source_that_is_none_throws_with_its_text") {
    try {
        const endpoint wrong("localhost", 80);
        FAIL("no exception");
    } catch (const std::system_error& error) {
        CHECK(error.code() == errc::invalid_endpoint);
        CHECK(std::string(error.what()).find("localhost") != std::string::npos);
    }
    CHECK_THROWS_AS(endpoint("", 80), std::system_error);
    CHECK_THROWS_AS(endpoint("/run/app.sock", 80), std::system_error);
}

TEST_CASE("an_endpoint_of_the_kernel_is_taken_as_it_is") {
    sockaddr_in native{};
    native.sin_family = AF_INET;
    native.sin_port = htons(7000);
    native.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(
        endpoint::from_native(reinterpret_cast<const sockaddr*>(&native), sizeof native) ==
        endpoint("127.0.0.1", 7000));

    // What getpeername says of a unix client that is bound to nothing.
    sockaddr_un unnamed{};
    unnamed.sun_family = AF_UNIX;
    const endpoint nobody =
        endpoint::from_native(reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed.sun_family);
    CHECK(nobody.family() == AF_UNIX);
    CHECK(nobody.path().empty());
    CHECK(nobody.to_string() == "unix:(unnamed)");
}
