#include <chainring/runtime/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cerrno>
#include <set>
#include <string>

using namespace chainring;

namespace {

constexpr errc every_condition[] = {
    errc::cancelled,
    errc::timed_out,
    errc::closed,
    errc::broken,
    errc::never_started,
    errc::busy,
    errc::invalid_endpoint,
    errc::path_too_long,
    errc::unsupported_sqe_flag,
    errc::value_taken,
    errc::queue_full,
    errc::empty_message,
    errc::never_called,
    errc::already_owned,
    errc::is_listening,
    errc::not_listening,
    errc::too_many_descriptors,
    errc::receives_ahead,
    errc::queue_empty,
    errc::lagged,
    errc::end_of_stream,
    errc::cut_off,
    errc::too_long,
};

} // namespace

TEST_CASE("every_condition_has_a_message_of_its_own") {
    std::set<std::string> messages;
    for (const errc condition : every_condition) {
        const std::error_code code = condition;
        CAPTURE(code.value());
        CHECK(code);
        CHECK(&code.category() == &category());
        CHECK_FALSE(code.message().empty());
        CHECK(code.message() != category().message(0));
        messages.insert(code.message());
    }
    CHECK(messages.size() == std::size(every_condition));
    CHECK(std::string_view(category().name()) == "chainring");
}

TEST_CASE("conditions_that_the_standard_knows_compare_equal_to_it") {
    CHECK(std::error_code(errc::cancelled) == std::errc::operation_canceled);
    CHECK(std::error_code(errc::timed_out) == std::errc::timed_out);
    CHECK(std::error_code(errc::closed) == std::errc::bad_file_descriptor);
    CHECK(std::error_code(errc::broken) == std::errc::broken_pipe);
    CHECK(std::error_code(errc::busy) == std::errc::device_or_resource_busy);
    CHECK(std::error_code(errc::invalid_endpoint) == std::errc::invalid_argument);
    CHECK(std::error_code(errc::path_too_long) == std::errc::filename_too_long);
    CHECK_FALSE(std::error_code(errc::cancelled) == std::errc::timed_out);
    CHECK_FALSE(std::error_code(errc::never_started) == std::errc::operation_canceled);
}

TEST_CASE("an_errno_keeps_its_meaning") {
    CHECK(from_errno(ECONNREFUSED) == std::errc::connection_refused);
    CHECK(from_errno(ECANCELED) == std::errc::operation_canceled);
    CHECK(from_errno(ECANCELED) != std::error_code(errc::cancelled));
    CHECK(from_errno(EPIPE).value() == EPIPE);
}

TEST_CASE("a_returned_number_is_a_value_or_an_error") {
    CHECK(from_return(0) == 0);
    CHECK(from_return(12) == 12);
    CHECK(from_return(-EBADF) == failure(from_errno(EBADF)));
}

TEST_CASE("results_are_told_from_other_types") {
    STATIC_CHECK(is_result<result<int>>);
    STATIC_CHECK(is_result<result<void>>);
    STATIC_CHECK_FALSE(is_result<int>);
    STATIC_CHECK_FALSE(is_result<std::expected<int, int>>);
}
