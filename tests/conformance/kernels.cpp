#include "kernels.hpp"

#include <chainring/sim/exhaustive.hpp>

#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <system_error>

namespace chainring::test::conformance {

namespace {

void check_call(int returned, const char* what) {
    if (returned < 0) throw std::system_error(errno, std::generic_category(), what);
}

int family_of(transport over) noexcept {
    return over == transport::tcp || over == transport::udp ? AF_INET : AF_UNIX;
}

int type_of(transport over) noexcept {
    if (over == transport::seqpacket) return SOCK_SEQPACKET;
    return has_connections(over) ? SOCK_STREAM : SOCK_DGRAM;
}

// On a loopback port of the kernel's choice.
int bound_socket(int type, sockaddr_in& at) {
    const int made = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
    check_call(made, "socket");
    at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    check_call(::bind(made, reinterpret_cast<const sockaddr*>(&at), length), "bind");
    check_call(::getsockname(made, reinterpret_cast<sockaddr*>(&at), &length), "getsockname");
    return made;
}

void connect_socket(int socket, const sockaddr_in& to) {
    check_call(::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to), "connect");
}

connected_ends udp_ends() {
    sockaddr_in near_address;
    sockaddr_in far_address;
    const connected_ends ends{bound_socket(SOCK_DGRAM, near_address), bound_socket(SOCK_DGRAM, far_address)};
    connect_socket(ends.near, far_address);
    connect_socket(ends.far, near_address);
    return ends;
}

connected_ends tcp_ends() {
    sockaddr_in address;
    const int listener = bound_socket(SOCK_STREAM, address);
    check_call(::listen(listener, 1), "listen");
    const int near = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check_call(near, "socket");
    connect_socket(near, address);
    const int far = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    check_call(far, "accept");
    ::close(listener);
    return {near, far};
}

// The world is bad only once the sockets are there.
class simulated_stage final : public stage {
  public:
    simulated_stage(
        sim::world& within, sim::simulated_kernel& on, std::function<void()> begun,
        const std::string* wanted = nullptr)
        : stage(on, task_work_mode::throughput)
        , world_(within)
        , kernel_(on)
        , begun_(std::move(begun))
        , wanted_(wanted) {}

    struct other_outcome {};

  private:
    connected_ends connect_ends(transport over) override {
        const auto [near, far] = kernel_.connected_pair(family_of(over), type_of(over));
        return {near, far};
    }
    void begin() override { begun_(); }
    void pause() override { world_.heal(); }
    void completed(const std::string& all) override {
        if (wanted_ != nullptr && !wanted_->starts_with(all)) throw other_outcome();
    }

    sim::world& world_;
    sim::simulated_kernel& kernel_;
    std::function<void()> begun_;
    const std::string* wanted_;
};

// Orders alone, every other time: they are what scripts differ in most.
sim::faults faults_of(sim::world& world, std::uint64_t seed) {
    if (seed == 0) return world.knobs();
    sim::faults drawn = sim::faults::drawn(world);
    if (seed % 2 != 0)
        drawn = {
            .later = drawn.later,
            .hold_back = drawn.hold_back,
            .in_passing = drawn.in_passing,
            .elusive = drawn.elusive};
    drawn.buffer = world.knobs().buffer;
    return drawn;
}

} // namespace

connected_ends real_stage::connect_ends(transport over) {
    if (over == transport::tcp) return tcp_ends();
    if (over == transport::udp) return udp_ends();
    int both[2];
    check_call(::socketpair(AF_UNIX, type_of(over) | SOCK_CLOEXEC, 0, both), "socketpair");
    return {both[0], both[1]};
}

std::string perform_simulated(const script& performed, std::uint64_t seed) {
    sim::world world(seed, sim::faults{});
    sim::simulated_kernel kernel(world);
    const sim::faults drawn = faults_of(world, seed);
    simulated_stage on(world, kernel, [&] { world.set(drawn); });
    return on.perform(performed);
}

// With few faults first: most orders need none or one.
bool can_be(const script& performed, const std::string& wanted, std::uint64_t runs) {
    bool found = false;
    const auto agrees = [&](sim::world& world) {
        sim::simulated_kernel kernel(world);
        const auto begun = [&world] {
            sim::faults orders{.later = 1, .hold_back = 1, .late_delivery = 1, .in_passing = 1, .elusive = 1};
            orders.buffer = world.knobs().buffer;
            world.set(orders);
        };
        try {
            simulated_stage on(world, kernel, begun, &wanted);
            found = on.perform(performed) == wanted;
        } catch (const simulated_stage::other_outcome&) {
        }
        return !found;
    };
    for (unsigned faults = 0; faults < 5 && !found; ++faults)
        (void)sim::explore({}, {.runs = runs, .faults = faults, .alternatives = 8}, agrees);
    return found;
}

} // namespace chainring::test::conformance
