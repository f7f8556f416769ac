#include <chainring/sim/connection_socket.hpp>
#include <chainring/sim/datagram_socket.hpp>
#include <chainring/sim/numbered_waits.hpp>
#include <chainring/sim/simulated_kernel.hpp>

#include <cassert>
#include <cerrno>
#include <cstring>

namespace chainring::sim {

namespace {

// nullptr: there are none of this kind.
std::shared_ptr<socket> make_socket(network& of, const machine& on, int family, int type) {
    const bool internet = family == AF_INET || family == AF_INET6;
    if (!internet && family != AF_UNIX) return nullptr;
    if (type == SOCK_DGRAM && internet) return std::make_shared<udp_socket>(of, on, family, type);
    if (type == SOCK_DGRAM) return std::make_shared<unix_datagram_socket>(of, on, family, type);
    const bool known = type == SOCK_STREAM || (type == SOCK_SEQPACKET && !internet);
    return known ? std::make_shared<connection_socket>(of, on, family, type) : nullptr;
}

} // namespace

simulated_kernel::simulated_kernel(world& within)
    : simulated_kernel(std::make_unique<network>(within)) {}

simulated_kernel::simulated_kernel(std::unique_ptr<network> own)
    : simulated_kernel(*own, own->only_machine()) {
    own_ = std::move(own);
}

simulated_kernel::simulated_kernel(network& over, const std::string& host)
    : simulated_kernel(over, over.machine_at(host)) {}

simulated_kernel::simulated_kernel(network& over, const machine& on)
    : world_(over.within())
    , network_(over)
    , machine_(on)
    , files_(world_)
    , thread_(std::this_thread::get_id()) {}

void simulated_kernel::check_thread(const char* call) const {
    if (std::this_thread::get_id() == thread_) return;
    world_.fail(std::string(call) + " came from another thread, and what threads do is not repeatable");
}

void simulated_kernel::about_to_leave(const char* what) noexcept {
    world_.fail(
        std::string("the simulation lacks ") + what + ", which goes on outside of it and is not repeatable");
}

void simulated_kernel::about_to_be_late(time_point past) noexcept {
    if (past <= time_point() || !world::is_real(past)) return;
    world_.fail("a wait until a time of the real clock, which is not repeatable; executor::current()->now() "
                "has the virtual one");
}

std::unique_ptr<resumption_watch> simulated_kernel::watch_resumptions(executor& home) {
    return std::make_unique<numbered_waits>(world_, home);
}

template <class Call> int simulated_kernel::on_socket(int descriptor, Call&& call) {
    const std::shared_ptr<file> found = files_.find(descriptor);
    if (found == nullptr) return -EBADF;
    socket* const of = found->as_socket();
    return of != nullptr ? call(*of) : -ENOTSOCK;
}

simulated_kernel::pair simulated_kernel::connected_pair(int family, int type) {
    const std::shared_ptr<socket> near = make_socket(network_, machine_, family, type);
    const std::shared_ptr<socket> far = make_socket(network_, machine_, family, type);
    [[maybe_unused]] const int bound = far->bind(address(family));
    assert(bound == 0);
    if (type == SOCK_DGRAM) {
        near->bind(address(family));
        near->connect(far->local());
        far->connect(near->local());
        return {files_.add(near), files_.add(far)};
    }
    far->listen(1);
    near->connect(far->local());
    return {files_.add(near), files_.add(far->accept())};
}

int simulated_kernel::connect(int descriptor, const sockaddr* to, socklen_t length) noexcept {
    return on_socket(descriptor, [&](socket& of) { return of.connect(address(to, length)); });
}

int simulated_kernel::accept(int descriptor) {
    return on_socket(descriptor, [&](socket& of) {
        const int found = of.may_accept();
        if (found < 0) return found;
        return files_.has_room() ? files_.add(of.accept()) : -EMFILE;
    });
}

int simulated_kernel::send(int descriptor, const void* bytes, std::size_t size) {
    return on_socket(descriptor, [&](socket& of) {
        const iovec whole{const_cast<void*>(bytes), size};
        return of.send({&whole, 1}, 0, size);
    });
}

int simulated_kernel::receive(int descriptor, void* target, std::size_t size) {
    return on_socket(descriptor, [&](socket& of) { return of.receive(target, size, 0, size); });
}

int simulated_kernel::open_ring(io_uring& ring, const ring_options& options) noexcept {
    check_thread("the opening of a ring");
    if (options.completion_entries < options.submission_entries) return -EINVAL;
    auto& opened = rings_[&ring] = std::make_unique<simulated_ring>(network_, files_, ring, options);
    if (cut_chains_forbidden_) opened->forbid_cut_chains();
    return 0;
}

int simulated_kernel::enable_ring(io_uring&) noexcept {
    return 0;
}

void simulated_kernel::close_ring(io_uring& ring) noexcept {
    rings_.erase(&ring);
}

int simulated_kernel::enter(io_uring& ring, unsigned to_submit, const enter_wait& wait, unsigned) noexcept {
    check_thread("an enter");
    return rings_.at(&ring)->enter(to_submit, wait);
}

int simulated_kernel::register_buffer_ring(io_uring& ring, io_uring_buf_reg& registration) noexcept {
    return rings_.at(&ring)->register_buffer_ring(registration);
}

int simulated_kernel::unregister_buffer_ring(io_uring& ring, unsigned group) noexcept {
    return rings_.at(&ring)->unregister_buffer_ring(group);
}

int simulated_kernel::register_direct_table(io_uring& ring, unsigned places) noexcept {
    return rings_.at(&ring)->register_direct_table(places);
}

int simulated_kernel::register_event(io_uring& ring, int event) noexcept {
    const std::shared_ptr<file> found = files_.find(event);
    if (found == nullptr || found->as_event() == nullptr) return -EBADF;
    return rings_.at(&ring)->register_event(std::static_pointer_cast<event_file>(found));
}

void simulated_kernel::end_notifications() noexcept {
    for (const auto& each : rings_) each.second->end_notifications();
}

void simulated_kernel::end_process(bool silently) {
    process_ended_ = true;
    const auto vanish = [](file& open) {
        if (socket* const of = open.as_socket()) of->vanish();
    };
    if (silently) {
        files_.for_each(vanish);
        for (const auto& each : rings_) each.second->for_each_direct(vanish);
    }
    files_.close_all();
    for (const auto& each : rings_) each.second->end_all();
}

bool simulated_kernel::signalled(int event) {
    for (const auto& each : rings_) each.second->signal_if_ready();
    const std::shared_ptr<file> found = files_.find(event);
    return found != nullptr && found->as_event() != nullptr && found->as_event()->count != 0;
}

int simulated_kernel::open_socket(int family, int type, int) noexcept {
    std::shared_ptr<socket> made = make_socket(network_, machine_, family, type);
    if (made == nullptr)
        world_.fail(
            "the simulation lacks sockets of family " + std::to_string(family) + " and type " +
            std::to_string(type));
    return files_.has_room() ? files_.add(std::move(made)) : -EMFILE;
}

int simulated_kernel::bind(int descriptor, const sockaddr* at, socklen_t length) noexcept {
    return on_socket(descriptor, [&](socket& of) { return of.bind(address(at, length)); });
}

int simulated_kernel::listen(int descriptor, int backlog) noexcept {
    return on_socket(descriptor, [&](socket& of) { return of.listen(backlog); });
}

int simulated_kernel::shutdown(int descriptor, int how) noexcept {
    // Task work runs on any return from the kernel, unless the ring puts it off: what is ready is faster.
    for (const auto& each : rings_) each.second->complete_in_passing();
    return on_socket(descriptor, [&](socket& of) { return of.shutdown(how); });
}

int simulated_kernel::set_option(
    int descriptor, int level, int name, const void* value, socklen_t length) noexcept {
    return on_socket(descriptor, [&](socket& of) { return of.set_option(level, name, value, length); });
}

int simulated_kernel::get_option(
    int descriptor, int level, int name, void* value, socklen_t& length) noexcept {
    return on_socket(descriptor, [&](socket& of) { return of.get_option(level, name, value, length); });
}

int simulated_kernel::local_address(int descriptor, sockaddr* to, socklen_t& length) noexcept {
    return on_socket(descriptor, [&](socket& of) {
        of.local().copy_to(to, length);
        return 0;
    });
}

int simulated_kernel::peer_address(int descriptor, sockaddr* to, socklen_t& length) noexcept {
    return on_socket(descriptor, [&](socket& of) {
        if (!of.connected()) return -ENOTCONN;
        of.peer_address().copy_to(to, length);
        return 0;
    });
}

int simulated_kernel::unread(int descriptor) noexcept {
    return on_socket(descriptor, [](socket& of) { return static_cast<int>(of.received()); });
}

// Its programs execute no others.
int simulated_kernel::close_on_exec(int descriptor) noexcept {
    return files_.find(descriptor) != nullptr ? 0 : -EBADF;
}

int simulated_kernel::close(int descriptor) noexcept {
    return files_.close(descriptor);
}

file_identity simulated_kernel::identify_file(const char* path) noexcept {
    return network_.identify_file(machine_, path);
}

int simulated_kernel::remove_file(const char* path) noexcept {
    return process_ended_ ? 0 : network_.remove_file(machine_, path);
}

int simulated_kernel::open_event() noexcept {
    return files_.add(std::make_shared<event_file>());
}

void simulated_kernel::signal_event(int descriptor) noexcept {
    check_thread("a wake-up");
    const std::shared_ptr<file> found = files_.find(descriptor);
    if (event_file* const event = found != nullptr ? found->as_event() : nullptr) event->signal();
}

void simulated_kernel::drain_event(int descriptor) noexcept {
    const std::shared_ptr<file> found = files_.find(descriptor);
    if (event_file* const event = found != nullptr ? found->as_event() : nullptr) event->count = 0;
}

std::string simulated_kernel::explain_refusal(int error) {
    return std::string("the simulated kernel answers: ") + std::strerror(error);
}

} // namespace chainring::sim
