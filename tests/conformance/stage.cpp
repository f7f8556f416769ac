#include "stage.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

namespace chainring::test::conformance {

namespace {

using namespace std::chrono_literals;

// User data: the number of a step, or one of these and above.
constexpr std::uint64_t own_operation = 1000;
constexpr std::uint64_t own_cancel = 2000;

constexpr unsigned provided = 4; // buffers
constexpr std::size_t provided_size = 64;
constexpr unsigned short provided_group = 9;
constexpr std::size_t page = 4096;

// How long nothing may happen before an operation counts as missing: never reached where the kernel does its part.
constexpr int most_waits = 200;
constexpr duration one_wait = 50ms;

std::string number_or_error(int result) {
    return result >= 0 ? std::to_string(result) : strerrorname_np(-result);
}

[[noreturn]] void give_up(const std::string& why) {
    throw std::runtime_error("the stage: " + why);
}

int must_be(int returned, const char* what) {
    if (returned < 0) give_up(std::string(what) + ": " + std::strerror(-returned));
    return returned;
}

} // namespace

stage::stage(kernel& on, task_work_mode mode)
    : kernel_(on)
    , ring_(on, {.mode = mode, .submission_entries = 32, .completion_entries = 64})
    , buffers_(provided * provided_size, '\0')
    , buffer_ring_(2 * page) {
    ring_.enable();
}

std::string stage::perform(const script& performed) {
    script_ = &performed;
    operations_.clear();
    operations_.resize(performed.steps.size());
    completions_.clear();
    last_completions_.clear();
    calls_.clear();
    for (auto& each : heard_) each.clear();
    for (std::string& each : ends_) each.clear();
    open_sockets();
    lend_buffers();
    begin();

    std::size_t chain = 0;
    for (std::size_t number = 0; number < performed.steps.size(); ++number) {
        operations_[number].chain = chain;
        operations_[number].is_last = performed.steps[number].next == link_kind::none;
        if (operations_[number].is_last) chain = number + 1;
        perform_step(number);
    }
    submit();
    for (int round = 0; round < 3; ++round) ring_.enter(waiting::none, nullptr, counters_);
    cancelling_ = true;
    cancel_what_is_left();
    hear_what_is_left();
    close_sockets();
    // The memory of what was sent without a copy is in use until nobody can receive it any more.
    if (!wait_until([this] { return std::ranges::none_of(operations_, &operation::in_flight); }))
        give_up("a notification is missing; " + to_string(performed));
    must_be(kernel_.unregister_buffer_ring(ring_.native(), provided_group), "no buffer ring");

    cancelling_ = false;
    std::string outcome = completions_;
    for (const std::string& each : last_completions_) outcome += each;
    outcome += calls_;
    for (const place at : {near, far})
        outcome += std::string(at == near ? "near" : "far") + " heard: " + all_heard(at) + ends_[at] + '\n';
    return outcome;
}

void stage::open_sockets() {
    const connected_ends ends = connect_ends(script_->over);
    sockets_[near] = ends.near;
    sockets_[far] = ends.far;
    if (script_->buffer != 0)
        for (const place at : {near, far})
            must_be(
                kernel_.set_option(
                    sockets_[at], SOL_SOCKET, SO_SNDBUF, &script_->buffer, sizeof script_->buffer),
                "no send buffer");
    const bool used =
        std::ranges::any_of(script_->steps, [](const step& each) { return each.at >= listener; });
    if (used && has_connections(script_->over)) open_listener();
}

void stage::open_listener() {
    const bool internet = script_->over == transport::tcp;
    const int family = internet ? AF_INET : AF_UNIX;
    const int type = script_->over == transport::seqpacket ? SOCK_SEQPACKET : SOCK_STREAM;
    for (const place at : {listener, client})
        sockets_[at] = must_be(kernel_.open_socket(family, type, 0), "no socket");
    sockaddr_storage address{};
    address.ss_family = static_cast<sa_family_t>(family);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (internet) reinterpret_cast<sockaddr_in*>(&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // A unix socket gets a name that nobody else has.
    const socklen_t length = internet ? sizeof(sockaddr_in) : sizeof(sa_family_t);
    must_be(kernel_.bind(sockets_[listener], generic, length), "no address");
    must_be(kernel_.listen(sockets_[listener], 4), "no listener");
}

void stage::lend_buffers() {
    auto* const aligned = reinterpret_cast<char*>(
        (reinterpret_cast<std::uintptr_t>(buffer_ring_.data()) + page - 1) & ~(page - 1));
    auto* const shared = reinterpret_cast<io_uring_buf_ring*>(aligned);
    std::memset(aligned, 0, page);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(aligned);
    registration.ring_entries = provided;
    registration.bgid = provided_group;
    must_be(kernel_.register_buffer_ring(ring_.native(), registration), "no buffer ring");
    for (unsigned short id = 0; id < provided; ++id)
        io_uring_buf_ring_add(
            shared, buffers_.data() + id * provided_size, provided_size, id, io_uring_buf_ring_mask(provided),
            id);
    io_uring_buf_ring_advance(shared, provided);
}

// A script may have closed some, and others have got their numbers.
void stage::close_sockets() {
    for (int& each : sockets_) accepted_.push_back(std::exchange(each, -1));
    for (const int each : accepted_) kernel_.close(each);
    accepted_.clear();
}

io_uring_sqe& stage::next_sqe() {
    io_uring_sqe* const entry = ring_.next_sqe();
    if (entry == nullptr) give_up("a script that is too long");
    return *entry;
}

void stage::submit() {
    for (int tries = 0; tries < 1000; ++tries) {
        ring_.enter(waiting::none, nullptr, counters_);
        ring_.reap([this](const io_uring_cqe& cqe) { take(cqe); }, counters_);
        if (ring_.unsubmitted() == 0) return;
    }
    give_up("nothing is submitted");
}

template <class Done> bool stage::wait_until(Done done) {
    for (int waits = 0; waits < most_waits; ++waits) {
        if (done()) return true;
        const duration limit = one_wait;
        ring_.enter(waiting::for_one, &limit, counters_);
        ring_.reap([this](const io_uring_cqe& cqe) { take(cqe); }, counters_);
    }
    return done();
}

int stage::own(std::uint64_t user_data, io_uring_sqe& entry) {
    entry.user_data = user_data;
    own_results_.erase(user_data);
    submit();
    if (!wait_until([&] { return own_results_.contains(user_data); }))
        give_up("an operation without end; " + to_string(*script_));
    return own_results_[user_data];
}

int stage::receive_now(int descriptor, int flags) {
    own_memory_.resize(100'000);
    io_uring_sqe& entry = next_sqe();
    io_uring_prep_recv(&entry, descriptor, own_memory_.data(), own_memory_.size(), flags);
    return own(own_operation, entry);
}

// What is there, or all until the end.
int stage::hear(place at, int flags) {
    int result = 0;
    while ((result = receive_now(sockets_[at], flags)) > 0)
        heard_[at].push_back(own_memory_.substr(0, static_cast<std::size_t>(result)));
    return result;
}

// Bytes have no boundaries, records have.
std::string stage::all_heard(place at) const {
    std::string bytes;
    std::string records;
    for (const std::string& each : heard_[at]) {
        bytes += each;
        records += letters(each);
    }
    return has_records(script_->over) ? records : letters(bytes);
}

void stage::perform_step(std::size_t number) {
    const step& done = script_->steps[number];
    const int descriptor = sockets_[done.at];
    if (done.takes_sqe()) {
        io_uring_sqe& entry = next_sqe();
        prepare(number, entry);
        entry.user_data = number;
        if (done.next == link_kind::soft) entry.flags |= IOSQE_IO_LINK;
        if (done.next == link_kind::hard) entry.flags |= IOSQE_IO_HARDLINK;
        if (done.silent) entry.flags |= IOSQE_CQE_SKIP_SUCCESS;
        operations_[number].in_flight = true;
        return;
    }
    const std::string name = std::to_string(number) + ' ' + to_string(done) + ": ";
    int result = 0;
    switch (done.what) {
    case verb::shutdown: called(name + number_or_error(kernel_.shutdown(descriptor, done.flags))); break;
    case verb::reset_close: {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        called(
            name +
            number_or_error(kernel_.set_option(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once)));
        break;
    }
    case verb::fill:
        pause();
        own_memory_.assign(1000, '.');
        do {
            io_uring_sqe& entry = next_sqe();
            io_uring_prep_send(
                &entry, descriptor, own_memory_.data(), own_memory_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            result = own(own_operation, entry);
        } while (result > 0);
        begin();
        called(name + number_or_error(result));
        break;
    case verb::drain:
        result = hear(done.at, MSG_DONTWAIT);
        if (result != -EAGAIN) called(name + number_or_error(result));
        break;
    default: submit(); break;
    }
}

void stage::prepare(std::size_t number, io_uring_sqe& entry) {
    const step& prepared = script_->steps[number];
    operation& of = operations_[number];
    const int descriptor = sockets_[prepared.at];
    const char letter = static_cast<char>('a' + number);
    of.memory.assign(prepared.size, prepared.is_send() ? letter : '\0');
    switch (prepared.what) {
    case verb::send:
        io_uring_prep_send(
            &entry, descriptor, of.memory.data(), of.memory.size(), prepared.flags | MSG_NOSIGNAL);
        break;
    case verb::gather: {
        const std::size_t third = prepared.size / 3;
        of.pieces = {
            {of.memory.data(), third},
            {of.memory.data() + third, third},
            {of.memory.data() + 2 * third, prepared.size - 2 * third}};
        of.header.msg_iov = of.pieces.data();
        of.header.msg_iovlen = of.pieces.size();
        io_uring_prep_sendmsg(
            &entry, descriptor, &of.header, static_cast<unsigned>(prepared.flags | MSG_NOSIGNAL));
        break;
    }
    case verb::send_zero_copy:
        io_uring_prep_send_zc(
            &entry, descriptor, of.memory.data(), of.memory.size(), prepared.flags | MSG_NOSIGNAL, 0);
        break;
    case verb::receive:
        io_uring_prep_recv(&entry, descriptor, of.memory.data(), of.memory.size(), prepared.flags);
        break;
    case verb::receive_many:
        io_uring_prep_recv_multishot(&entry, descriptor, nullptr, 0, 0);
        entry.flags |= IOSQE_BUFFER_SELECT;
        entry.buf_group = provided_group;
        break;
    case verb::poll_room: io_uring_prep_poll_add(&entry, descriptor, POLLOUT); break;
    case verb::accept: io_uring_prep_accept(&entry, descriptor, nullptr, nullptr, 0); break;
    case verb::accept_many: io_uring_prep_multishot_accept(&entry, descriptor, nullptr, nullptr, 0); break;
    case verb::connect: {
        of.memory.assign(sizeof(sockaddr_storage), '\0');
        auto* const to = reinterpret_cast<sockaddr*>(of.memory.data());
        auto length = static_cast<socklen_t>(of.memory.size());
        must_be(kernel_.local_address(sockets_[listener], to, length), "no address to connect to");
        io_uring_prep_connect(&entry, descriptor, to, length);
        break;
    }
    case verb::cancel: io_uring_prep_cancel64(&entry, prepared.target, 0); break;
    case verb::close: io_uring_prep_close(&entry, descriptor); break;
    default: io_uring_prep_nop(&entry); break;
    }
}

void stage::take(const io_uring_cqe& cqe) {
    if (cqe.user_data >= own_operation) {
        own_results_[cqe.user_data] = cqe.res;
        return;
    }
    const auto number = static_cast<std::size_t>(cqe.user_data);
    const step& by = script_->steps[number];
    operation& of = operations_[number];
    std::string line = std::to_string(number) + ' ' + to_string(by) + ": ";
    const bool accepts = by.what == verb::accept || by.what == verb::accept_many;
    if ((cqe.flags & IORING_CQE_F_NOTIF) != 0) {
        line += "notification";
    } else if (accepts && cqe.res >= 0) {
        accepted_.push_back(cqe.res);
        line += "a connection";
    } else {
        line += result_of(by, cqe.res, of.memory.size()) + received(by, cqe, of);
    }
    const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
    if (!of.in_flight) line += ", once too often";
    if (!more) of.in_flight = false;
    of.notifies = more && by.what == verb::send_zero_copy;
    line += more ? ", more\n" : "\n";
    if (cancelling_)
        last_completions_.insert(line);
    else
        completed(completions_ += line);
    // A failure ends a chain behind a soft link: aloud, each member says so; one that is silent speaks for the others too.
    const bool short_of_all = by.is_send() && (by.flags & MSG_WAITALL) != 0 &&
                              static_cast<std::size_t>(std::max(cqe.res, 0)) < of.memory.size();
    bool& failed_aloud = operations_[of.chain].chain_failed_aloud;
    if (by.next == link_kind::soft && by.silent && !failed_aloud) chain_has_ended(of.chain);
    if (by.next == link_kind::soft && !by.silent && (cqe.res < 0 || short_of_all)) failed_aloud = true;
    if (of.is_last)
        for (std::size_t each = of.chain; each < number; ++each)
            if (script_->steps[each].silent) operations_[each].in_flight = false;
}

void stage::chain_has_ended(std::size_t of) {
    for (std::size_t each = of; each < operations_.size() && operations_[each].chain == of; ++each)
        operations_[each].in_flight = false;
}

std::string stage::result_of(const step& by, int result, std::size_t wanted) const {
    if (result < 0 || script_->counts_bytes() || has_records(script_->over)) return number_or_error(result);
    if (by.is_send()) return static_cast<std::size_t>(result) == wanted ? "all" : "a part";
    const bool receives = by.what == verb::receive || by.what == verb::receive_many;
    return receives && result > 0 ? "some" : number_or_error(result);
}

std::string stage::received(const step& by, const io_uring_cqe& cqe, const operation& of) const {
    if (cqe.res <= 0) return {};
    const auto size = static_cast<std::size_t>(cqe.res);
    if (by.what == verb::receive)
        return " (" + letters(of.memory.substr(0, std::min(size, of.memory.size()))) + ')';
    if (by.what != verb::receive_many) return {};
    if ((cqe.flags & IORING_CQE_F_BUFFER) == 0) return " without a buffer";
    const unsigned id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
    return " (" + letters(buffers_.substr(id * provided_size, size)) + ") in buffer " + std::to_string(id);
}

// "a100b20", or "ab" where bytes are not counted. A record stands by itself. How much filled the way, each kernel has its own
// opinion of.
std::string stage::letters(const std::string& bytes) const {
    if (!bytes.empty() && bytes.find_first_not_of('.') == std::string::npos) return {};
    std::string text;
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t end = std::min(bytes.find_first_not_of(bytes[at], at), bytes.size());
        const bool shown = bytes[at] != '.';
        if (shown) text += bytes[at];
        if (shown && script_->counts_bytes()) text += std::to_string(end - at);
        at = end;
    }
    return has_records(script_->over) ? text + ',' : text;
}

// Again and again, as a cancel may come too early for an operation that a worker thread runs, or that is still behind
// another one.
void stage::cancel_what_is_left() {
    for (int round = 0; round < most_waits; ++round) {
        unsigned asked = 0;
        own_results_.clear();
        for (std::size_t number = 0; number < operations_.size(); ++number) {
            if (!operations_[number].in_flight || operations_[number].notifies) continue;
            io_uring_sqe& entry = next_sqe();
            io_uring_prep_cancel64(&entry, number, 0);
            entry.user_data = own_cancel + number;
            ++asked;
        }
        if (asked == 0) return;
        submit();
        const auto answered = [&] { return own_results_.size() == asked; };
        if (!wait_until(answered)) give_up("a cancel without an answer");
        if (round == 0) continue;
        // A worker thread takes its time.
        const duration limit = 1ms;
        ring_.enter(waiting::for_one, &limit, counters_);
        ring_.reap([this](const io_uring_cqe& cqe) { take(cqe); }, counters_);
    }
    for (std::size_t number = 0; number < operations_.size(); ++number)
        if (operations_[number].in_flight && !operations_[number].notifies)
            give_up("step " + std::to_string(number) + " never ends; " + completions_ + to_string(*script_));
}

// Of connections up to their end, so that nothing is on its way any more.
void stage::hear_what_is_left() {
    const bool connections = has_connections(script_->over);
    for (const place at : {near, far})
        if (connections) kernel_.shutdown(sockets_[at], SHUT_WR);
    for (const place at : {near, far}) {
        // Its number may be another socket's by now, whose end would not come.
        const auto closes = [at](const step& each) { return each.what == verb::close && each.at == at; };
        if (std::ranges::any_of(script_->steps, closes)) continue;
        const int end = hear(at, connections ? 0 : MSG_DONTWAIT);
        ends_[at] = ' ' + number_or_error(end);
    }
}

} // namespace chainring::test::conformance
