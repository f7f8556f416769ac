// What single knobs make of the simulated kernel.
#include "bare_ring.hpp"

#include <chainring/sim/fault_rule.hpp>

#include <set>

using namespace chainring;
using namespace chainring::test;

namespace {

// Answers of an enter that submits `count` no-ops, linked in pairs; the ring is a new one each time.
std::set<int> answers_to_an_enter(const sim::faults& knobs, unsigned count) {
    std::set<int> answers;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        sim::world world(seed, knobs);
        sim::simulated_kernel kernel(world);
        kernel.forbid_cut_chains();
        io_uring used{};
        REQUIRE(kernel.open_ring(used, {.submission_entries = 8, .completion_entries = 8}) == 0);
        for (unsigned number = 0; number < count; ++number) {
            io_uring_sqe* const entry = io_uring_get_sqe(&used);
            io_uring_prep_nop(entry);
            if (number % 2 == 0) entry->flags |= IOSQE_IO_LINK;
        }
        answers.insert(kernel.enter(used, count, {}, 0));
        kernel.close_ring(used);
    }
    return answers;
}

// The answer to a receive that is submitted together with the send of what it wants.
int received_at_once(const sim::faults& knobs) {
    sim::world world(1, knobs);
    bare_ring ring(world);
    const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
    const std::string text(1000, 'x');
    std::string room(1000, ' ');
    ring.send(1, near, text, MSG_NOSIGNAL);
    io_uring_prep_recv(&ring.sqe(2), far, room.data(), room.size(), MSG_DONTWAIT);
    const auto all = ring.run(2);
    return all.at(1).result;
}

} // namespace

TEST_CASE("an_enter_that_is_refused_says_again_or_busy_and_takes_nothing") {
    CHECK(answers_to_an_enter({.refused = 1000}, 4) == std::set<int>{-EAGAIN, -EBUSY});
    CHECK(answers_to_an_enter({}, 4) == std::set<int>{4});
}

TEST_CASE("an_enter_that_takes_some_sqes_says_how_many_and_cuts_no_chain") {
    CHECK(answers_to_an_enter({.takes_some = 1000}, 8) == std::set<int>{2, 4, 6, 8});
}

TEST_CASE("a_slow_peer_gets_nothing_at_once") {
    CHECK(received_at_once({}) == 1000);
    CHECK(received_at_once({.slow_peer = 1000}) == -EAGAIN);
}

TEST_CASE("an_accept_that_fails_for_want_of_something_leaves_the_connection_in_the_backlog") {
    std::set<int> answers;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        sim::world world(seed, {.failed_accept = 500});
        bare_ring ring(world);
        const int listener = ring.kernel.open_socket(AF_INET, SOCK_STREAM, 0);
        const sockaddr_in at{.sin_family = AF_INET, .sin_port = htons(7000), .sin_addr = {}, .sin_zero = {}};
        REQUIRE(ring.kernel.bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
        REQUIRE(ring.kernel.listen(listener, 10) == 0);
        const int client = ring.kernel.open_socket(AF_INET, SOCK_STREAM, 0);
        io_uring_prep_connect(&ring.sqe(1), client, reinterpret_cast<const sockaddr*>(&at), sizeof at);
        CHECK(ring.run(1) == std::vector<completed>{{1, 0}});
        int answer = -1;
        while (answer < 0) {
            io_uring_prep_accept(&ring.sqe(2), listener, nullptr, nullptr, 0);
            answer = ring.run(1).at(0).result;
            answers.insert(std::min(answer, 0));
        }
    }
    CHECK(answers == std::set<int>{-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM, 0});
}

TEST_CASE("a_zero_copy_send_may_find_no_memory_to_pin") {
    std::set<int> answers;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        sim::world world(seed, {.failed_pin = 700});
        bare_ring ring(world);
        const auto [near, far] = ring.kernel.connected_pair(AF_INET, SOCK_STREAM);
        const std::string text = "message";
        io_uring_prep_send_zc(&ring.sqe(1), near, text.data(), text.size(), MSG_NOSIGNAL, 0);
        const auto all = ring.run(1);
        answers.insert(all.at(0).result);
        // One that has failed may have a notification too.
        if (all.size() == 1 && all[0].more) CHECK(ring.run(1).at(0).notification);
    }
    CHECK(answers == std::set<int>{-ENOBUFS, -ENOMEM, 7});
}

TEST_CASE("a_fault_rule_holds_for_as_long_as_it_lives_and_not_after_the_world_has_healed") {
    sim::world world(1, {.failed_accept = 5});
    const unsigned& accepts = world.knobs().failed_accept;
    {
        const sim::fault_rule often(world, &sim::faults::failed_accept, 500);
        CHECK(accepts == 500);
        {
            const sim::fault_rule always(world, &sim::faults::failed_accept, 1000);
            CHECK(accepts == 1000);
        }
        CHECK(accepts == 500);
    }
    CHECK(accepts == 5);
    {
        const sim::fault_rule often(world, &sim::faults::failed_accept, 500);
        world.heal();
        CHECK(accepts == 0);
    }
    CHECK(accepts == 0);
    sim::world other(1, {.failed_accept = 5});
    {
        const sim::fault_rule never(other, &sim::faults::failed_accept, 0);
        other.heal();
    }
    CHECK(other.knobs().failed_accept == 0);
}
