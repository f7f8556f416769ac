// The accounting of a queue of a stream's messages.
#include "send_queue_fixture.hpp"

#include <catch2/generators/catch_generators_range.hpp>

#include <array>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

TEST_CASE("a_single_message_is_a_batch_without_a_vector") {
    queue_fixture given;
    CHECK(given.queue.idle());
    CHECK_FALSE(given.queue.wants_batch());
    message& only = given.push("hello");
    CHECK_FALSE(given.queue.idle());
    REQUIRE(given.queue.wants_batch());

    const send_part batch = given.form();
    CHECK(batch.several == nullptr);
    CHECK(text_of(batch) == "hello");
    CHECK(given.queue.messages_in_batch() == 1);
    CHECK_FALSE(given.queue.idle());

    given.queue.completed(0, 5);
    CHECK(only.confirmed());
    CHECK(only.sent() == 5);
    CHECK(given.queue.idle());
    CHECK_FALSE(given.queue.failed());
}

TEST_CASE("all_queued_messages_are_gathered_in_order") {
    queue_fixture given;
    given.push("a");
    given.push("bc");
    given.push("def");
    const send_part batch = given.form();
    REQUIRE(batch.several != nullptr);
    CHECK(batch.single.empty());
    CHECK(batch.several->msg_iovlen == 3);
    CHECK(given.queue.messages_in_batch() == 3);
    CHECK(text_of(batch) == "abcdef");
    given.queue.completed(0, 6);
    for (const message& each : given.messages) CHECK(each.confirmed());
}

TEST_CASE("what_is_queued_while_a_batch_is_in_flight_waits_for_the_next") {
    queue_fixture given;
    given.push("first");
    given.form();
    message& second = given.push("second");
    CHECK_FALSE(given.queue.wants_batch());
    given.queue.completed(0, 5);
    CHECK(second.waits());
    REQUIRE(given.queue.wants_batch());
    CHECK(text_of(given.form()) == "second");
}

TEST_CASE("a_batch_of_empty_messages_sends_nothing") {
    queue_fixture given;
    given.push("");
    given.push("");
    const send_part batch = given.form();
    CHECK(batch.several == nullptr);
    CHECK(batch.single.empty());
    given.queue.completed(0, 0);
    for (const message& each : given.messages) CHECK(each.confirmed());
    CHECK(given.queue.idle());
}

TEST_CASE("an_empty_message_takes_no_vector_but_keeps_its_place") {
    queue_fixture given;
    given.push("a");
    message& empty = given.push("");
    given.push("b");
    const send_part batch = given.form();
    REQUIRE(batch.several != nullptr);
    CHECK(batch.several->msg_iovlen == 2);
    CHECK(text_of(batch) == "ab");
    SECTION("all was sent") {
        given.queue.completed(0, 2);
        CHECK(empty.confirmed());
    }
    SECTION("what was before it was sent") {
        given.queue.completed(0, 1);
        CHECK(empty.confirmed());
        CHECK(text_of(given.form()) == "b");
    }
    SECTION("nothing was sent") {
        given.queue.completed(0, -EPIPE);
        CHECK(empty.failed_with(errc::never_started));
    }
}

TEST_CASE("a_batch_holds_at_most_1024_vectors") {
    queue_fixture given;
    for (int count = 0; count < 2500; ++count) given.push("x");
    std::vector<std::size_t> sizes;
    while (given.queue.wants_batch()) {
        const send_part batch = given.form();
        sizes.push_back(text_of(batch).size());
        given.queue.completed(0, static_cast<int>(sizes.back()));
    }
    CHECK(sizes == std::vector<std::size_t>{1024, 1024, 452});
    for (const message& each : given.messages) REQUIRE(each.confirmed());
}

TEST_CASE("a_message_longer_than_a_batch_goes_on_in_the_next_before_all_others") {
    const std::string text = test::random_text(2 * batch_limit + 1000, 1);
    queue_fixture given;
    message& small = given.push("head");
    message& large = given.push(text);
    message& tail = given.push("tail");

    std::string wire;
    send_part batch = given.form();
    wire += text_of(batch);
    CHECK(wire.size() == batch_limit);
    CHECK(given.queue.messages_in_batch() == 2);
    given.queue.completed(0, static_cast<int>(wire.size()));
    CHECK(small.confirmed());
    CHECK(large.waits());
    CHECK(large.sent() == batch_limit - 4);

    message& late = given.push("late");
    while (given.queue.wants_batch()) {
        const std::string part = text_of(given.form());
        wire += part;
        given.queue.completed(0, static_cast<int>(part.size()));
    }
    CHECK((wire == "head" + text + "taillate"));
    CHECK(large.confirmed());
    CHECK(large.sent() == text.size());
    CHECK(tail.confirmed());
    CHECK(late.confirmed());
}

TEST_CASE("a_message_that_fills_a_batch_exactly_is_not_cut") {
    const std::string text(batch_limit, 'x');
    queue_fixture given;
    given.push(text);
    given.push("next");
    CHECK(text_of(given.form()).size() == batch_limit);
    given.queue.completed(0, batch_limit);
    CHECK(given.messages[0].confirmed());
    CHECK(given.messages[1].waits());
    CHECK(text_of(given.form()) == "next");
}

TEST_CASE("wherever_a_batch_falls_short_it_goes_on_or_each_message_learns_what_became_of_it") {
    static constexpr std::array texts = {"abc"sv, ""sv, "defgh"sv, "i"sv, ""sv, "jk"sv};
    const int result = GENERATE(range(0, 11));
    queue_fixture given;
    for (const std::string_view text : texts) given.push(text);
    given.form();
    message& queued = given.push("!");
    given.queue.completed(0, result);

    CAPTURE(result);
    CHECK_FALSE(given.queue.failed());
    CHECK(text_of(given.form()) == "abcdefghijk!"s.substr(static_cast<std::size_t>(result)));
    given.queue.completed(0, -ECONNRESET);
    std::size_t before = 0;
    bool broken = false;
    for (std::size_t at = 0; at < texts.size(); ++at) {
        CAPTURE(at);
        const message& each = given.messages[at];
        const std::size_t end = before + texts[at].size();
        if (broken) {
            CHECK(each.failed_with(errc::never_started));
            CHECK(each.sent() == 0);
        } else if (end <= static_cast<std::size_t>(result)) {
            CHECK(each.confirmed());
            CHECK(each.sent() == texts[at].size());
        } else {
            CHECK(each.failed_with(reset_error));
            CHECK(each.sent() == static_cast<std::size_t>(result) - before);
            broken = true;
        }
        before = end;
    }
    REQUIRE(broken);
    CHECK(queued.failed_with(errc::never_started));
    CHECK(given.queue.failed());
    CHECK(given.queue.idle());
}

TEST_CASE("an_error_belongs_to_the_first_message_and_those_behind_it_were_never_started") {
    queue_fixture given;
    given.push("a");
    given.push("b");
    given.form();
    message& queued = given.push("c");
    given.queue.completed(0, -EPIPE);
    CHECK(given.messages[0].failed_with(pipe_error));
    CHECK(given.messages[1].failed_with(errc::never_started));
    CHECK(queued.failed_with(errc::never_started));
    CHECK(given.queue.failed());
    CHECK(given.queue.idle());
}

TEST_CASE("the_rest_of_a_cut_message_fails_with_what_it_has_sent_before") {
    const std::string text(batch_limit + 10, 'x');
    queue_fixture given;
    message& cut = given.push(text);
    given.form();
    given.queue.completed(0, batch_limit);
    given.form();
    given.queue.completed(0, 4);
    given.form();
    given.queue.completed(0, -ECONNRESET);
    CHECK(cut.failed_with(reset_error));
    CHECK(cut.sent() == batch_limit + 4);
    CHECK(given.queue.failed());
}

TEST_CASE("failing_what_is_queued_leaves_the_batch_to_its_completion") {
    queue_fixture given;
    message& in_batch = given.push("a");
    given.form();
    message& queued = given.push("b");
    given.queue.fail_queued(errc::closed, errc::closed);
    CHECK(in_batch.waits());
    CHECK(queued.failed_with(errc::closed));
    CHECK(given.queue.failed());
    CHECK_FALSE(given.queue.idle());
    given.queue.completed(0, 1);
    CHECK(in_batch.confirmed());
    CHECK(given.queue.idle());
}

TEST_CASE("a_message_can_be_withdrawn_until_it_is_in_a_batch") {
    queue_fixture given;
    message& first = given.push("a");
    message& second = given.push("b");
    CHECK(given.queue.withdraw(first));
    CHECK(first.waits());
    CHECK(text_of(given.form()) == "b");
    CHECK_FALSE(given.queue.withdraw(second));
    given.queue.completed(0, 1);
    CHECK(second.confirmed());
}

TEST_CASE("a_message_sent_in_part_cannot_be_withdrawn") {
    const std::string text(batch_limit + 1, 'x');
    queue_fixture given;
    message& cut = given.push(text);
    given.form();
    given.queue.completed(0, batch_limit);
    CHECK_FALSE(given.queue.withdraw(cut));
    CHECK(given.queue.wants_batch());
}

TEST_CASE("an_empty_message_can_be_withdrawn_even_from_a_batch") {
    queue_fixture given;
    message& full = given.push("a");
    message& empty = given.push("");
    given.form();
    CHECK(given.queue.withdraw(empty));
    given.queue.completed(0, 1);
    CHECK(full.confirmed());
    CHECK(empty.waits());
}

TEST_CASE("a_replacement_takes_over_place_and_progress") {
    queue_fixture given;
    message replacement("");
    SECTION("in the queue") {
        given.push("a");
        message& replaced = given.push("b");
        given.push("c");
        send_queue::replace(replaced, replacement);
        CHECK(text_of(given.form()) == "abc");
        given.queue.completed(0, 3);
        CHECK(replaced.waits());
        CHECK(replacement.confirmed());
    }
    SECTION("in the batch") {
        given.push("a");
        message& replaced = given.push("bcd");
        given.push("e");
        given.form();
        send_queue::replace(replaced, replacement);
        given.queue.completed(0, 2);
        given.form();
        given.queue.completed(0, -EPIPE);
        CHECK(replaced.waits());
        CHECK(replacement.failed_with(pipe_error));
        CHECK(replacement.sent() == 1);
        CHECK(given.messages[2].failed_with(errc::never_started));
    }
}

TEST_CASE("a_cancelled_message_in_the_queue_leaves_it_at_once") {
    queue_fixture given;
    given.push("a");
    message& unwanted = given.push("b");
    given.push("c");
    CHECK(given.queue.cancel(unwanted));
    CHECK(unwanted.failed_with(errc::cancelled));
    CHECK(text_of(given.form()) == "ac");
    CHECK_FALSE(given.queue.failed());
}

TEST_CASE("a_batch_that_was_stopped_for_one_message_goes_on_without_it") {
    queue_fixture given;
    message& first = given.push("abc");
    message& empty = given.push("");
    message& unwanted = given.push("de");
    message& last = given.push("fg");
    given.form();
    message& queued = given.push("h");
    CHECK_FALSE(given.queue.cancel(unwanted)); // the kernel must be asked
    CHECK(unwanted.waits());

    SECTION("before anything was sent") {
        given.queue.completed(0, -ECANCELED);
        CHECK(first.waits());
        CHECK(empty.waits());
        CHECK(unwanted.failed_with(errc::cancelled));
        CHECK(text_of(given.form()) == "abcfgh");
        given.queue.completed(0, 6);
        CHECK(first.confirmed());
        CHECK(empty.confirmed());
        CHECK(last.confirmed());
        CHECK(queued.confirmed());
        CHECK_FALSE(given.queue.failed());
    }
    SECTION("within a message that is still wanted") {
        given.queue.completed(0, 2);
        CHECK(first.waits());
        CHECK(first.sent() == 2);
        CHECK(unwanted.failed_with(errc::cancelled));
        CHECK(text_of(given.form()) == "cfgh");
        given.queue.completed(0, 4);
        CHECK(first.confirmed());
        CHECK(queued.confirmed());
        CHECK_FALSE(given.queue.failed());
    }
    SECTION("between the two") {
        given.queue.completed(0, 3);
        CHECK(first.confirmed());
        CHECK(empty.confirmed());
        CHECK(unwanted.failed_with(errc::cancelled));
        CHECK(text_of(given.form()) == "fgh");
    }
    SECTION("within the cancelled message, after which the stream cannot go on") {
        given.queue.completed(0, 4);
        CHECK(first.confirmed());
        CHECK(unwanted.failed_with(errc::broken));
        CHECK(unwanted.sent() == 1);
        CHECK(last.failed_with(errc::never_started));
        CHECK(queued.failed_with(errc::never_started));
        CHECK(given.queue.failed());
    }
    SECTION("too late") {
        given.queue.completed(0, 7);
        CHECK(unwanted.confirmed());
        CHECK(last.confirmed());
        CHECK(text_of(given.form()) == "h");
    }
    SECTION("and the connection failed meanwhile") {
        given.queue.completed(0, -ECONNRESET);
        CHECK(first.failed_with(reset_error));
        CHECK(unwanted.failed_with(errc::never_started));
        CHECK(given.queue.failed());
    }
}

TEST_CASE("a_message_longer_than_a_batch_does_not_go_on_once_it_is_cancelled") {
    const std::string text(3 * batch_limit, 'x');
    queue_fixture given;
    message& large = given.push(text);
    message& behind = given.push("behind");
    given.form();
    SECTION("while its first part is in flight, which is sent all the same") {
        CHECK_FALSE(given.queue.cancel(large));
        given.queue.completed(0, batch_limit);
    }
    SECTION("between two batches") {
        given.queue.completed(0, batch_limit);
        CHECK(given.queue.cancel(large));
    }
    CHECK(large.failed_with(errc::broken));
    CHECK(behind.failed_with(errc::never_started));
    CHECK(given.queue.failed());
    CHECK(given.queue.idle());
}
// A batch of a stream that is too long for one send: three parts of 128 KiB, cut across messages.
TEST_CASE("a_long_batch_is_a_chain_whose_every_part_tells_what_was_sent") {
    constexpr std::size_t part_size = std::size_t{128} * 1024;
    const unsigned failing = GENERATE(0U, 1U, 2U);
    const int short_result = GENERATE(0, 1000, -EPIPE);
    queue_fixture given;
    const std::vector<std::string> texts{
        test::random_text(50'000, 1), test::random_text(200'000, 2), std::string(),
        test::random_text(150'000, 3), test::random_text(1'000'000, 4)};
    for (const std::string& text : texts) given.push(text);
    std::array<send_part, 3> parts;
    REQUIRE(given.queue.form_batch(given.memory, parts) == 3);
    CHECK(given.queue.messages_in_batch() == 4); // the last one has no room in it
    std::string wire;
    for (const send_part& part : parts) wire += text_of(part);
    std::string expected;
    for (const std::string& text : texts) expected += text;
    CHECK((wire == expected.substr(0, wire.size())));
    CHECK(wire.size() == 3 * part_size);

    const std::size_t moved = failing * part_size + static_cast<std::size_t>(std::max(short_result, 0));
    given.queue.completed(failing, short_result);
    CHECK(given.counters.bytes_sent == moved);
    if (short_result >= 0) {
        CHECK_FALSE(given.queue.failed());
        REQUIRE(given.queue.form_batch(given.memory, parts) == 3);
        CHECK((text_of(parts[0]) == expected.substr(moved, part_size)));
        given.queue.completed(0, -EPIPE);
    }
    CHECK(given.queue.failed());
    std::size_t end = 0;
    bool before = true; // the message that failed
    for (std::size_t at = 0; at < texts.size(); ++at) {
        CAPTURE(at);
        end += texts[at].size();
        const message& each = given.messages[at];
        if (end <= moved && before) {
            CHECK(each.confirmed());
        } else if (before) {
            CHECK(each.failed_with(pipe_error));
            CHECK(each.sent() == moved - (end - texts[at].size()));
            before = false;
        } else {
            CHECK(each.failed_with(errc::never_started));
            CHECK(each.sent() == 0);
        }
    }
}

TEST_CASE("a_long_batch_that_was_sent_goes_on_where_it_ended") {
    queue_fixture given;
    const std::string text = test::random_text(1'000'000, 1);
    const message& only = given.push(text);
    std::string wire;
    while (only.waits()) {
        std::array<send_part, 3> parts;
        const unsigned count = given.queue.form_batch(given.memory, parts);
        REQUIRE(count > 0);
        for (const send_part& part : std::span(parts).first(count)) wire += text_of(part);
        const int last = static_cast<int>(parts[count - 1].bytes);
        CHECK(given.queue.is_all(count - 1, last));
        CHECK_FALSE((count > 1 && given.queue.is_all(0, last)));
        given.queue.completed_whole();
    }
    CHECK(only.confirmed());
    CHECK((wire == text));
}

// As a chain of one send for each message: the second is longer than one send carries, and takes two.
TEST_CASE("a_batch_with_parts_of_one_message_each_tells_what_was_sent") {
    const unsigned failing = GENERATE(range(0U, 5U));
    queue_fixture given;
    const std::vector<std::string> texts{
        "first", test::random_text(batch_limit + 1, 2), std::string(), "third", "fourth"};
    for (const std::string& text : texts) given.push(text);
    message& later = given.push("no room for it");
    std::array<send_part, 5> parts;
    REQUIRE(given.queue.form_batch(given.memory, parts, send_queue::parts::one_a_message) == 5);
    CHECK(given.queue.messages_in_batch() == 5);
    const std::size_t sizes[] = {5, batch_limit, 1, 5, 6};
    std::size_t moved = 0;
    for (unsigned at = 0; at < 5; ++at) {
        CHECK(parts[at].bytes == sizes[at]);
        CHECK(parts[at].several == nullptr);
        if (at < failing) moved += sizes[at];
    }

    given.queue.completed(failing, -EPIPE);
    CHECK(given.counters.bytes_sent == moved);
    std::size_t end = 0;
    for (std::size_t at = 0; at < texts.size(); ++at) {
        CAPTURE(at);
        end += texts[at].size();
        const message& each = given.messages[at];
        if (end <= moved)
            CHECK(each.confirmed());
        else
            CHECK(each.sent() == moved - std::min(moved, end - texts[at].size()));
    }
    CHECK(later.failed_with(errc::never_started));
}
