// How a simulated ring lets operations fail that could have succeeded, and enters that could have done more.
#include <chainring/sim/simulated_ring.hpp>

#include <cerrno>
#include <span>

namespace chainring::sim {

namespace {

constexpr int of_an_accept[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
constexpr int of_a_pin[] = {ENOBUFS, ENOMEM};
constexpr int of_a_send[] = {ENOBUFS, ENOMEM};
constexpr int of_a_receive[] = {ENOMEM}; // ENOBUFS would say that no buffer was provided
constexpr int of_a_connect[] = {ENOMEM, ENOBUFS};
constexpr int of_an_internet_connect[] = {ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EADDRNOTAVAIL, ENOMEM};

} // namespace

int simulated_ring::failure_of(const request& tried, const socket& of) {
    const faults& knobs = world_.knobs();
    const auto one_of = [this](std::span<const int> errors, unsigned thousandths) {
        if (!world_.chance(thousandths, "the operation fails")) return 0;
        return errors[world_.choose(static_cast<std::uint32_t>(errors.size()), "with which errno")];
    };
    switch (tried.sqe.opcode) {
    case IORING_OP_ACCEPT: return of.may_accept() == 0 ? one_of(of_an_accept, knobs.failed_accept) : 0;
    case IORING_OP_CONNECT:
        if (of.is_internet()) return one_of(of_an_internet_connect, knobs.failed_operation);
        return one_of(of_a_connect, knobs.failed_operation);
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG: return one_of(of_a_receive, knobs.failed_operation);
    case IORING_OP_SEND_ZC: return tried.done == 0 ? one_of(of_a_pin, knobs.failed_pin) : 0;
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG: return tried.done == 0 ? one_of(of_a_send, knobs.failed_operation) : 0;
    default: return 0;
    }
}

// Linux takes fewer SQEs than it is given when it has no memory for a request. It could then also cut a chain in two,
// which no program can help; this does not.
unsigned simulated_ring::how_many_to_take(unsigned given) {
    if (given < 2 || !world_.chance(world_.knobs().takes_some, "some are taken")) return given;
    unsigned taken = 1 + world_.choose(given - 1, "how many are taken");
    const auto goes_on = [this](unsigned at) {
        const unsigned flags = submissions_[(counters_.sq_head + at) & (submissions_.size() - 1)].flags;
        return (flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)) != 0;
    };
    while (taken < given && goes_on(taken - 1)) ++taken;
    return taken;
}

void simulated_ring::let_clock_jump() {
    if (!world_.chance(world_.knobs().clock_jump, "the clock jumps")) return;
    world_.pass(std::chrono::milliseconds(world_.choose(20'000, "by how many milliseconds")));
}

void simulated_ring::sleep_until(time_point end) {
    world_.pass(end - world_.now());
    if (world_.chance(world_.knobs().oversleeps, "sleeps too long"))
        world_.pass(std::chrono::microseconds(world_.choose(10'000, "by how many microseconds")));
}

} // namespace chainring::sim
