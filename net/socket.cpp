#include <chainring/net/socket.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

namespace chainring {

namespace {

int set_option(kernel& behind, int descriptor, int level, int name, int value) noexcept {
    return behind.set_option(descriptor, level, name, &value, sizeof value);
}

result<endpoint>
address_of(kernel& behind, int descriptor, int (kernel::*ask)(int, sockaddr*, socklen_t&) noexcept) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    const int returned = descriptor < 0
                             ? descriptor
                             : (behind.*ask)(descriptor, reinterpret_cast<sockaddr*>(&address), length);
    if (returned < 0) return failure(from_errno(-returned));
    return endpoint::from_native(reinterpret_cast<sockaddr*>(&address), length);
}

} // namespace

int apply_options(kernel& behind, int descriptor, int family, const socket_options& options) noexcept {
    int returned = 0;
    const auto set = [&](bool wanted, int level, int name, int value) {
        if (returned >= 0 && wanted) returned = set_option(behind, descriptor, level, name, value);
    };
    set(options.no_delay && family != AF_UNIX, IPPROTO_TCP, TCP_NODELAY, 1);
    set(options.keep_alive, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(options.reuse_port, SOL_SOCKET, SO_REUSEPORT, 1);
    set(options.send_buffer > 0, SOL_SOCKET, SO_SNDBUF, options.send_buffer);
    set(options.receive_buffer > 0, SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
    return returned;
}

result<executor*> current_executor() noexcept {
    if (executor* current = executor::current()) return current;
    return failure(std::make_error_code(std::errc::operation_not_permitted));
}

socket_options of_datagrams(socket_options options) noexcept {
    options.no_delay = options.keep_alive = false; // TCP's
    return options;
}

int open_socket(
    kernel& behind, const endpoint& at, const socket_kind& kind, const socket_options& options) noexcept {
    if (!kind.takes(at.family())) return -EAFNOSUPPORT;
    const int descriptor = behind.open_socket(at.family(), kind.type, 0);
    if (descriptor < 0) return descriptor;
    const bool is_stream = kind.type == SOCK_STREAM;
    const int applied =
        apply_options(behind, descriptor, at.family(), is_stream ? options : of_datagrams(options));
    if (applied >= 0) return descriptor;
    behind.close(descriptor);
    return applied;
}

socket::socket(executor& home, file_handle file) noexcept
    : home_(&home)
    , since_(home.now())
    , file_(file)
    , sqe_flags_(file.direct ? IOSQE_FIXED_FILE : 0) {
    home.add(*this);
    if (!file.direct) home.descriptors().add(file.number);
    ++home.counters().descriptors_opened;
}

int socket::control() noexcept {
    if (!file_.direct) return file_.number;
    if (control_ < 0) control_ = home_->install_descriptor(file_);
    return control_;
}

int socket::broke(int error) noexcept {
    // A unix socket says EPIPE to who sends, and the reason only to who receives or asks.
    if (error == EPIPE && broken_by_ == 0 && !file_.direct) {
        int reason = 0;
        socklen_t length = sizeof reason;
        home_->behind().get_option(file_.number, SOL_SOCKET, SO_ERROR, &reason, length);
        broken_by_ = reason;
    }
    if (error != 0 && error != EPIPE) broken_by_ = error;
    return broken_by_ != 0 ? broken_by_ : error;
}

result<endpoint> socket::local() {
    return address_of(home_->behind(), control(), &kernel::local_address);
}

result<endpoint> socket::peer() {
    return address_of(home_->behind(), control(), &kernel::peer_address);
}

result<void> socket::set(int level, int name, int value) noexcept {
    if (!open()) return failure(errc::closed);
    const int descriptor = control();
    const int returned =
        descriptor < 0 ? descriptor : set_option(home_->behind(), descriptor, level, name, value);
    if (returned < 0) return failure(from_errno(-returned));
    return {};
}

result<int> socket::get(int level, int name) noexcept {
    if (!open()) return failure(errc::closed);
    const int descriptor = control();
    int value = 0;
    socklen_t length = sizeof value;
    const int returned =
        descriptor < 0 ? descriptor : home_->behind().get_option(descriptor, level, name, &value, length);
    if (returned < 0) return failure(from_errno(-returned));
    return value;
}

std::string socket::name() const {
    const int descriptor = file_.direct ? control_ : file_.number;
    std::string text = file_.direct ? "direct descriptor " : "descriptor ";
    text += std::to_string(file_.number);
    if (const auto at = address_of(home_->behind(), descriptor, &kernel::local_address))
        text += ", at " + at->to_string();
    if (const auto with = address_of(home_->behind(), descriptor, &kernel::peer_address))
        text += ", connected to " + with->to_string();
    return text;
}

std::string socket::describe(time_point now) const {
    holdings held;
    count_queued(held);
    std::string text = "socket with " + name();
    text += ", open " + for_time(now - since_);
    if (state_ != state::open) text += ", closing";
    if (held.messages != 0)
        text += ", " + std::to_string(held.messages) + " messages (" + std::to_string(held.bytes) +
                " bytes) unsent";
    if (held.blocks != 0) text += ", " + std::to_string(held.blocks) + " received buffers not taken";
    return text;
}

void socket::close_gracefully(last_messages sent, duration limit) noexcept {
    if (state_ != state::open) return;
    begin_draining(limit);
    drain(sent);
    go_on_draining();
}

void socket::begin_draining(duration limit) noexcept {
    state_ = state::draining;
    home_->close_begun();
    // Beyond some centuries a limit is none, and a sum would overflow.
    constexpr duration longest = std::chrono::years(100);
    close_deadline_ = home_->behind().now() + std::clamp(limit, duration::zero(), longest);
}

void socket::go_on_draining() noexcept {
    go_on_closing();
    if (state_ == state::draining) end_close_at(close_deadline_);
}

void socket::end_close_at(time_point deadline) noexcept {
    if (close_limit_ == nullptr) close_limit_ = std::make_unique<close_limit>(*this);
    home_->timers().arm(*close_limit_, deadline);
}

void socket::close_at_limit(fault cause) noexcept {
    if (state_ == state::draining && drained()) { // in this very turn
        go_on_closing();
        return;
    }
    if (state_ == state::draining) close_outcome_ = cause;
    if (releasing()) return end_for_release();
    begin_close(state_ == state::draining ? manner::reset : manner::orderly);
}

void socket::go_on_closing() noexcept {
    if (state_ == state::draining && drained()) {
        close_outcome_ = drain_failure();
        if (releasing()) return end_for_release();
        constexpr duration longest_linger = std::chrono::seconds(1);
        if (!close_outcome_ && linger()) {
            state_ = state::lingering;
            end_close_at(std::min(close_deadline_, home_->behind().now() + longest_linger));
            return;
        }
        begin_close(manner::orderly);
    } else if (state_ == state::lingering && lingered()) {
        begin_close(manner::orderly);
    }
}

void socket::begin_close(manner how) noexcept {
    if (ending()) return;
    if (state_ == state::open) home_->close_begun();
    state_ = state::ending;
    if (releasing()) { // an abort came first
        end_waiter& waiting = waiting_for_end_.pop_front();
        waiting.error_ = errc::closed;
        home_->ready().push(waiting);
    }
    close_limit_.reset();
    closing();
    if (how == manner::reset) let_close_reset();
    if (in_flight_ != 0) {
        // Not IORING_OP_SHUTDOWN, which costs a worker thread. A direct socket makes do with the cancels.
        if (how == manner::orderly && !file_.direct && !is_shared())
            home_->behind().shutdown(file_.number, SHUT_RDWR);
        cancel_in_flight();
    }
    ask_for_turn_end();
}

// A reset is what the close itself makes of an unsent rest; a shutdown before it would send an end.
void socket::let_close_reset() noexcept {
    static constexpr ::linger at_once{.l_onoff = 1, .l_linger = 0};
    if (!file_.direct) {
        home_->behind().set_option(file_.number, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return;
    }
    // No call takes a direct descriptor, and there may be no room for an ordinary one.
    start([this](io_uring_sqe& sqe) {
        io_uring_prep_cmd_sock(
            &sqe, SOCKET_URING_OP_SETSOCKOPT, file_.number, SOL_SOCKET, SO_LINGER,
            const_cast<::linger*>(&at_once), sizeof at_once);
    });
}

void socket::complete(const io_uring_cqe& cqe) noexcept {
    if (state_ == state::closing) { // every other operation has ended
        finish_close();
        return;
    }
    completed(cqe);
    if (is_terminal(cqe)) operation_ended();
}

void socket::at_turn_end() noexcept {
    if (!ending()) {
        submit_pending();
        // Afterwards: a batch of nothing is complete as soon as it is formed.
        if (state_ != state::open) [[unlikely]]
            go_on_closing();
    } else if (state_ == state::ending && in_flight_ == 0) {
        if (releasing() && !file_.direct)
            hand_over(file_.number);
        else
            submit_close();
    }
}

void socket::submit_close() noexcept {
    state_ = state::closing;
    // Before the kernel has closed it: then somebody else may have the number.
    if (!file_.direct) home_->descriptors().remove(file_.number);
    // The last to close sends the end of the stream.
    if (control_ >= 0 && !releasing()) home_->behind().close(std::exchange(control_, -1));
    home_->submit(*this, [this](io_uring_sqe& sqe) { prepare_close(sqe, file_); });
}

void socket::finish_close() noexcept {
    if (releasing()) return hand_over(std::exchange(control_, -1));
    if (control_ >= 0) home_->behind().close(control_); // it was to be handed over, and nobody is there
    if (!waiting_for_end_.empty()) {
        end_waiter& waiting = waiting_for_end_.pop_front();
        waiting.error_ = close_outcome_;
        home_->ready().push(waiting);
    }
    ended();
}

void socket::hand_over(int descriptor) noexcept {
    if (!file_.direct) home_->descriptors().remove(file_.number);
    end_waiter& taking = waiting_for_end_.pop_front();
    taking.take_descriptor(descriptor);
    home_->ready().push(taking);
    ended();
}

void socket::ended() noexcept {
    state_ = state::closed;
    file_.number = -1;
    resource::unlink();
    let_go();
    home_->close_ended();
    ++home_->counters().descriptors_closed;
    if (user_gone_) delete this;
}

fault socket::release_to(end_waiter& waiting, duration limit) noexcept {
    const int descriptor = control();
    if (descriptor < 0) return fault::from_result(descriptor);
    waiting_for_end_.push_back(waiting);
    begin_draining(limit);
    prepare_release();
    go_on_draining();
    return {};
}

void socket::hurry_release(fault cause) noexcept {
    if (state_ == state::draining) close_at_limit(cause);
}

void socket::release_unheard() noexcept {
    if (state_ == state::draining)
        drain(last_messages::all); // what was received is of no use any more
    else if (state_ == state::ending)
        closing();
}

// No shutdown(2): the connection goes on elsewhere.
void socket::end_for_release() noexcept {
    state_ = state::ending;
    close_limit_.reset();
    cancel_in_flight();
    ask_for_turn_end();
}

void socket::user_let_go() noexcept {
    user_gone_ = true;
    constexpr duration longest = std::chrono::seconds(5);
    if (state_ == state::closed)
        delete this;
    else if (home_->gave_up())
        abort();
    else
        close_gracefully(last_messages::buffered, longest);
}

bool close_operation::start(executor&) noexcept {
    if (socket_ == nullptr || !socket_->open()) {
        error_ = socket_ == nullptr ? fault(errc::closed) : socket_->why_closed();
        return false;
    }
    socket_->close_gracefully(socket::last_messages::all, limit_);
    socket_->await_end(*this);
    return true;
}

} // namespace chainring
