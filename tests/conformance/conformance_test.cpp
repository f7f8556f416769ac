// The same scripts on the simulated and on the real kernel: what the real one does must be among what the simulated one may
// do. docs/simulation.md lists what is known to differ.
#include "build_kind.hpp"
#include "judge.hpp"
#include "random_script.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cstdlib>
#include <memory>
#include <set>
#include <system_error>

using namespace chainring;
using namespace chainring::test::conformance;

namespace {

constexpr int runs_of_each = 20; // on the real kernel
constexpr std::uint64_t random_scripts = 1000;

std::uint64_t number_in(const char* variable, std::uint64_t otherwise) {
    const char* const given = std::getenv(variable);
    return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

// Without io_uring there is nothing to compare with.
std::unique_ptr<real_stage> open_real(task_work_mode mode) {
    std::string refused;
    try {
        return std::make_unique<real_stage>(mode);
    } catch (const std::system_error& error) {
        refused = error.what();
    }
    SKIP("no io_uring here: " << refused);
    return nullptr;
}

struct named_script {
    const char* name;
    script steps;
};

step linked(step made, link_kind how = link_kind::soft, bool silent = false) {
    made.next = how;
    made.silent = silent;
    return made;
}

step sends(place at, std::size_t size, int flags = 0) {
    return {.what = verb::send, .at = at, .size = size, .flags = flags};
}

step receives(place at, std::size_t size, int flags = 0) {
    return {.what = verb::receive, .at = at, .size = size, .flags = flags};
}

step on(place at, verb what, int flags = 0) {
    return {.what = what, .at = at, .flags = flags};
}

constexpr step enters{.what = verb::enter};

step cancels(std::size_t target) {
    return {.what = verb::cancel, .target = target};
}

// What a library on io_uring stumbles over: each line of it has been somebody's bug.
std::vector<named_script> chosen_scripts() {
    std::vector<named_script> all;
    const auto for_each =
        [&all](const char* name, std::vector<transport> over, std::vector<step> steps, int buffer = 0) {
            for (const transport each : over) all.push_back({name, {each, steps, buffer}});
        };
    const std::vector<transport> streams{transport::tcp, transport::unix_stream};
    const std::vector<transport> connections{transport::tcp, transport::unix_stream, transport::seqpacket};
    const std::vector<transport> crowdable{
        transport::unix_stream, transport::seqpacket, transport::unix_datagram};
    const std::vector<transport> everything{
        transport::tcp, transport::unix_stream, transport::seqpacket, transport::unix_datagram,
        transport::udp};
    using enum verb;

    for_each(
        "a silent chain", everything,
        {linked(sends(near, 10, MSG_WAITALL), link_kind::soft, true),
         linked(sends(near, 20, MSG_WAITALL), link_kind::soft, true), sends(near, 30, MSG_WAITALL)});
    for_each(
        "a chain that fails in its middle", everything,
        {linked(sends(near, 10)), linked(receives(near, 10, MSG_DONTWAIT)), linked(sends(near, 20)),
         sends(near, 30)});
    for_each(
        "a silent chain that fails in its middle", everything,
        {linked(sends(near, 10), link_kind::soft, true),
         linked(receives(near, 10, MSG_DONTWAIT), link_kind::soft, true),
         linked(sends(near, 20), link_kind::soft, true), sends(near, 30)});
    for_each(
        "a hard link behind a failure", everything,
        {linked(receives(near, 10, MSG_DONTWAIT), link_kind::hard), sends(near, 20)});
    for_each(
        "unlinked sends to a full socket", crowdable,
        {on(near, fill), sends(near, 100, MSG_WAITALL), sends(near, 100, MSG_WAITALL), enters,
         on(far, drain)},
        8192);
    for_each(
        "linked sends to a full socket", crowdable,
        {on(near, fill), linked(sends(near, 100, MSG_WAITALL)), linked(sends(near, 100, MSG_WAITALL)),
         sends(near, 100, MSG_WAITALL), enters, on(far, drain)},
        8192);
    for_each(
        "a send that falls short and ends its chain", {transport::unix_stream},
        {linked(sends(near, 40'000, MSG_WAITALL | MSG_DONTWAIT)), sends(near, 100)}, 8192);
    for_each(
        "a send that falls short and goes on with its chain", {transport::unix_stream},
        {linked(sends(near, 40'000)), sends(near, 100, MSG_DONTWAIT), enters, on(far, drain)}, 8192);
    for_each(
        "a poll for room that comes", crowdable,
        {on(near, fill), on(near, poll_room), enters, on(far, drain)}, 8192);
    for_each(
        "a poll for room beside a half-close", {transport::unix_stream},
        {on(near, fill), on(near, poll_room), enters, on(far, verb::shutdown, SHUT_WR)}, 8192);
    for_each(
        "several receives at once", everything,
        {receives(far, 10), receives(far, 10), enters, sends(near, 10), sends(near, 10)});
    for_each(
        "a multishot receive that runs out of buffers", everything,
        {on(far, receive_many), enters, sends(near, 60), sends(near, 60), sends(near, 60), sends(near, 60),
         sends(near, 60)});
    for_each(
        "a multishot receive up to the end", connections,
        {on(far, receive_many), enters, sends(near, 60), on(near, verb::shutdown, SHUT_WR), enters});
    for_each(
        "a cancelled receive beside its data", everything,
        {receives(far, 100), enters, sends(near, 10), cancels(0), enters});
    for_each(
        "the cancel of a later member of a chain", everything,
        {linked(receives(near, 1)), receives(near, 1), enters, cancels(1), enters, cancels(0)});
    for_each(
        "a close with a receive in flight", everything,
        {receives(near, 10), enters, on(near, close), enters, sends(far, 10)});
    for_each(
        "a close over what was not read", connections,
        {sends(near, 10), enters, on(far, close), enters, receives(near, 10), sends(near, 10), enters,
         sends(near, 10)});
    for_each(
        "a close that resets", streams,
        {receives(near, 10), on(far, reset_close), on(far, close), enters, sends(near, 10), enters,
         sends(near, 10)});
    for_each(
        "a half-close in both directions", connections,
        {on(near, verb::shutdown, SHUT_WR), sends(far, 10), receives(near, 20), receives(far, 20), enters,
         sends(near, 10)});
    for_each(
        "accepts and connects", connections,
        {on(listener, accept_many), enters, on(client, connect), enters, cancels(0)});
    for_each(
        "a listener that is shut down beside an accept", connections,
        {on(listener, accept), enters, on(listener, verb::shutdown, SHUT_RDWR), enters, on(client, connect)});
    for_each(
        "a zero-copy send", connections,
        {step{.what = send_zero_copy, .at = near, .size = 10}, enters, receives(far, 10)});
    for_each(
        "a message that is longer than the memory for it",
        {transport::seqpacket, transport::unix_datagram, transport::udp},
        {sends(near, 60), sends(near, 60), enters, receives(far, 10), receives(far, 10, MSG_TRUNC)});
    for_each(
        "a peer that is gone", everything,
        {on(far, close), enters, sends(near, 10), enters, sends(near, 10), receives(near, 10)});
    return all;
}

// A few of each are enough where all of them take long.
std::uint64_t scripts_at_a_time(std::uint64_t all) {
    return test::optimized ? all : all / 20;
}

// An outcome that differs in one result, or in the order of two completions; "": there is none such.
std::vector<std::string> wrong_outcomes(const std::string& right) {
    std::vector<std::string> all;
    const std::size_t first_end = right.find('\n');
    const std::size_t colon = right.rfind(": ", first_end);
    if (first_end == std::string::npos || colon == std::string::npos) return all;
    std::string other = right;
    other.insert(colon + 2, "9"); // another number, or no name of an error
    all.push_back(std::move(other));
    all.push_back(right.substr(first_end + 1));            // a completion is missing
    all.push_back(right.substr(0, first_end + 1) + right); // and one comes twice
    return all;
}

} // namespace

TEST_CASE("what_the_real_kernel_does_with_chosen_scripts_is_what_the_simulated_one_may_do") {
    const auto mode = GENERATE(task_work_mode::throughput, task_work_mode::latency);
    auto real = open_real(mode);
    for (const named_script& each : chosen_scripts()) {
        judge of(each.steps);
        for (int run = 0; run < runs_of_each; ++run) {
            const std::string outcome = real->perform(each.steps);
            if (of.allows(outcome)) continue;
            FAIL_CHECK(each.name << ": " << of.explain(outcome));
            break;
        }
    }
}

TEST_CASE("what_the_real_kernel_does_with_random_scripts_is_what_the_simulated_one_may_do") {
    const auto mode = GENERATE(task_work_mode::throughput, task_work_mode::latency);
    auto real = open_real(mode);
    const std::uint64_t first = number_in("CHAINRING_FIRST_SCRIPT", 0);
    const std::uint64_t count = number_in("CHAINRING_SCRIPTS", scripts_at_a_time(random_scripts));
    std::uint64_t tried = 0;
    std::uint64_t searches = 0;
    std::uint64_t orders_unproved = 0;
    std::uint64_t failures = 0;
    for (std::uint64_t number = first; number < first + count; ++number) {
        const script drawn = random_script(number).make();
        judge of(drawn);
        int unproved = 0;
        for (int run = 0; run < runs_of_each; ++run) {
            const std::string outcome = real->perform(drawn);
            if (of.allows(outcome)) continue;
            // A rare order of many completions that is not found is no proof that there is none.
            if (of.allows_in_some_order(outcome) && ++unproved < runs_of_each / 4) continue;
            ++failures;
            const script smaller = shrunk(drawn, *real);
            judge of_smaller(smaller);
            std::string refused = real->perform(smaller);
            for (int again = 0; again < runs_of_each && of_smaller.allows(refused); ++again)
                refused = real->perform(smaller);
            FAIL_CHECK("script " << number << ": " << of_smaller.explain(refused));
            break;
        }
        orders_unproved += unproved != 0 ? 1 : 0;
        tried += of.seeds_tried();
        searches += of.searches();
        if (failures == number_in("CHAINRING_FAILURES", 1)) break;
    }
    UNSCOPED_INFO(
        "seeds tried: " << tried << ", searches: " << searches << ", orders not found: " << orders_unproved);
    CHECK(failures == 0);
    CHECK(orders_unproved <= count / 100);
}

TEST_CASE("an_outcome_that_no_kernel_has_is_refused") {
    std::uint64_t refused = 0;
    for (std::uint64_t number = 0; number < scripts_at_a_time(80); ++number) {
        const script drawn = random_script(number).make();
        judge of(drawn, {.seeds = scripts_at_a_time(200), .search = scripts_at_a_time(300)});
        const std::string right = perform_simulated(drawn, 0);
        CHECK(of.allows(right));
        for (const std::string& wrong : wrong_outcomes(right)) {
            CAPTURE(to_string(drawn), wrong);
            CHECK_FALSE(of.allows(wrong));
            ++refused;
        }
    }
    CHECK(refused > scripts_at_a_time(80));
}

TEST_CASE("an_order_that_linked_sends_cannot_have_is_refused_and_explained") {
    const script chain{transport::seqpacket, {linked(sends(near, 10)), sends(near, 20)}};
    judge of(chain, {.seeds = scripts_at_a_time(200), .search = scripts_at_a_time(300)});
    const std::string right = perform_simulated(chain, 0);
    CHECK(right == "0 send near 10 -> : 10\n1 send near 20: 20\nnear heard:  0\nfar heard: a10,b20, 0\n");
    CHECK(of.allows(right));
    const std::string wrong =
        "1 send near 20: 20\n0 send near 10 -> : 10\nnear heard:  0\nfar heard: b20,a10, 0\n";
    CHECK_FALSE(of.allows(wrong));
    const std::string told = of.explain(wrong);
    CHECK(told.contains("seqpacket"));
    CHECK(told.contains("far heard: b20,a10, 0"));
    CHECK(told.contains("far heard: a10,b20, 0"));
}

TEST_CASE("a_script_has_the_same_outcome_in_the_world_of_the_same_seed") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const script drawn = random_script(seed).make();
        CHECK(perform_simulated(drawn, seed) == perform_simulated(drawn, seed));
    }
}
