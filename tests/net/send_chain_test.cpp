// The accounting of a queue of records, whose batch is a linked chain with one member for each.
#include "send_queue_fixture.hpp"

#include <catch2/generators/catch_generators_range.hpp>

using namespace chainring;
using namespace chainring::test;

namespace {

class marker final : public outgoing_message {
  public:
    marker() { set_bytes(queue_marker()); }
    void settled(fault error) noexcept override {
        ++times;
        outcome = error.code();
    }

    int times = 0;
    std::error_code outcome;
};

unsigned chain(send_queue& queue) {
    static outgoing_message* room[operation_id::most_members];
    return queue.form_chain(room);
}

} // namespace

TEST_CASE("wherever_a_chain_fails_each_message_learns_what_became_of_it") {
    const std::size_t failing = GENERATE(range(0UZ, 5UZ));
    queue_fixture given;
    for (int count = 0; count < 5; ++count) given.push("record");
    REQUIRE(chain(given.queue) == 5);
    message& queued = given.push("queued");
    CHECK(given.bytes_of_chain(static_cast<unsigned>(failing), -EPIPE) == failing * 6);
    for (std::size_t at = 0; at < 5; ++at) {
        CAPTURE(at);
        const message& each = given.messages[at];
        if (at < failing)
            CHECK(each.confirmed());
        else
            CHECK(each.failed_with(at == failing ? pipe_error : fault(errc::never_started)));
    }
    CHECK(queued.failed_with(errc::never_started));
    CHECK(given.queue.failure().code() == pipe_error.code());
    CHECK(given.queue.idle());
    CHECK(given.queue.unsent() == 0);
}

TEST_CASE("a_record_that_does_not_fit_fails_alone_wherever_it_stands") {
    const std::size_t failing = GENERATE(range(0UZ, 5UZ));
    queue_fixture given;
    for (int count = 0; count < 5; ++count) given.push("record");
    REQUIRE(chain(given.queue) == 5);
    CHECK(given.bytes_of_chain(static_cast<unsigned>(failing), -EMSGSIZE) == failing * 6);
    CHECK(given.messages[failing].failed_with(fault::from_errno(EMSGSIZE)));
    for (std::size_t at = 0; at < 5; ++at) {
        if (at < failing) CHECK(given.messages[at].confirmed());
        if (at > failing) CHECK(given.messages[at].waits());
    }
    CHECK_FALSE(given.queue.failed());
    CHECK(given.queue.wants_batch() == (failing < 4));
    if (failing < 4) {
        CHECK(chain(given.queue) == 4 - failing);
        given.queue.chain_completed(static_cast<unsigned>(3 - failing), 6, framing::records);
        CHECK(given.messages.back().confirmed());
    }
}

TEST_CASE("a_chain_that_was_stopped_goes_on_without_what_is_unwanted") {
    const unsigned stopped = GENERATE(range(0U, 5U));
    const unsigned unwanted = GENERATE(range(0U, 5U));
    queue_fixture given;
    for (int count = 0; count < 5; ++count) given.push("record");
    REQUIRE(chain(given.queue) == 5);
    CHECK_FALSE(given.queue.cancel(given.messages[unwanted]));
    given.queue.chain_completed(stopped, -ECANCELED, framing::records);
    for (std::size_t at = 0; at < 5; ++at) {
        CAPTURE(at);
        if (at < stopped)
            CHECK(given.messages[at].confirmed()); // the one that is unwanted too, if it was sent by then
        else if (at == unwanted)
            CHECK(given.messages[at].failed_with(errc::cancelled));
        else
            CHECK(given.messages[at].waits());
    }
    CHECK_FALSE(given.queue.failed());
}

TEST_CASE("a_chain_is_as_long_as_the_room_and_takes_the_rest_in_the_next") {
    queue_fixture given;
    for (int count = 0; count < 5; ++count) given.push("x");
    outgoing_message* room[2];
    CHECK(given.queue.form_chain(room) == 2);
    CHECK(given.bytes_of_chain(1, 1) == 2);
    CHECK(given.queue.form_chain(room) == 2);
    CHECK(given.bytes_of_chain(1, 1) == 2);
    CHECK(given.queue.form_chain(room) == 1);
    CHECK(given.bytes_of_chain(0, 1) == 1);
    for (const message& each : given.messages) CHECK(each.confirmed());
}

TEST_CASE("a_marker_in_a_chain_is_complete_when_all_before_it_are") {
    queue_fixture given;
    marker first;
    marker middle;
    marker last;
    given.queue.push(first);
    given.push("a");
    given.queue.push(middle);
    given.push("b");
    given.queue.push(last);
    REQUIRE(chain(given.queue) == 2);
    SECTION("all was sent") {
        given.queue.chain_completed(1, 1, framing::records);
        CHECK((first.times == 1 && middle.times == 1 && last.times == 1));
        CHECK_FALSE(last.outcome);
    }
    SECTION("it was stopped between them") {
        given.queue.chain_completed(1, -ECANCELED, framing::records);
        CHECK((first.times == 1 && middle.times == 1 && last.times == 0));
    }
    SECTION("it failed at once") {
        given.queue.chain_completed(0, -EPIPE, framing::records);
        CHECK((first.times == 1 && middle.times == 1 && last.times == 1));
        CHECK_FALSE(first.outcome);
        CHECK(middle.outcome == errc::never_started);
        CHECK(last.outcome == errc::never_started);
    }
    SECTION("nothing but markers is for the wire") {
        given.queue.chain_completed(1, 1, framing::records);
        marker alone;
        given.queue.push(alone);
        CHECK(chain(given.queue) == 0);
        given.queue.chain_completed(0, 0, framing::records);
        CHECK(alone.times == 1);
    }
}
