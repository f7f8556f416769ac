#include <chainring/net/acceptor.hpp>
#include <chainring/runtime/log.hpp>

#include <spdlog/logger.h>

#include <algorithm>
#include <cerrno>

namespace chainring {

namespace {

using namespace std::chrono_literals;

constexpr duration first_pause = 5ms;
constexpr duration longest_pause = 1s;
constexpr std::size_t most_ahead = 32; // connections

bool is_out_of_resources(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// accept(2): errors of the connection that was in the backlog, not of the listener.
bool is_of_the_connection(int error) noexcept {
    switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EPERM:
    case EINTR:
    case EAGAIN: return true;
    default: return false;
    }
}

} // namespace

acceptor::acceptor(
    executor& home, int descriptor, std::string path, const listen_options& options,
    const socket_options& not_inherited)
    : socket(home, {.number = descriptor})
    , path_(std::move(path))
    , file_(path_.empty() ? file_identity{} : home.behind().identify_file(path_.c_str()))
    , not_inherited_(not_inherited)
    , limit_(options.max_connections)
    , count_(limit_ == 0 ? nullptr : std::make_shared<std::uint32_t>(0))
    , may_refuse_(options.refuse_when_out_of_descriptors && !options.direct_descriptors)
    , direct_(options.direct_descriptors)
    , shared_(options.shared) {
    if (may_refuse_) open_reserve();
    home.add(static_cast<intake&>(*this));
}

acceptor::stream::stream(acceptor* from) noexcept
    : from_(from) {
    if (from_ == nullptr) return;
    from_->streams_.push_back(*this);
    from_->ask_for_turn_end();
}

acceptor::stream::~stream() {
    if (from_ == nullptr) return;
    unlink();
    from_->ask_for_turn_end();
}

accepted_connection acceptor::take() noexcept {
    accepted_connection first = std::move(ahead_.front());
    ahead_.erase(ahead_.begin());
    ask_for_turn_end(); // there is room for another one
    return first;
}

bool acceptor::wait(taker& waiting) noexcept {
    if (taker_ != nullptr) return false;
    taker_ = &waiting;
    ask_for_turn_end();
    return true;
}

bool acceptor::wants_more() const noexcept {
    return taker_ != nullptr || (!streams_.empty() && ahead_.size() < most_ahead);
}

void acceptor::submit_pending() noexcept {
    if (accepting()) {
        if (multishot_ && !wants_more()) home().request_cancel(accept_);
        return;
    }
    if (!wants_more()) return;
    if (armed()) { // what was missing may have come back with the end of a close
        if (home().counters().descriptors_closed == closed_at_pause_) {
            ask_for_close_end();
            return;
        }
        cancel_timer();
    }
    if (at_limit() || !has_place()) {
        ask_for_close_end();
        return;
    }
    // A multishot accept does not stop at a limit by itself, and brings what nobody may be waiting for.
    multishot_ = !streams_.empty() && limit_ == 0 && !direct_ && !reserve_given_up();
    accept_ = start([this](io_uring_sqe& sqe) {
        if (direct_)
            io_uring_prep_accept_direct(&sqe, descriptor(), nullptr, nullptr, 0, IORING_FILE_INDEX_ALLOC);
        else if (multishot_)
            io_uring_prep_multishot_accept(&sqe, descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
        else
            io_uring_prep_accept(&sqe, descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
    });
}

// A connection that finds the table full is lost.
bool acceptor::has_place() noexcept {
    if (direct_ && !place_) place_ = direct_place(home().direct_descriptors());
    return !direct_ || place_;
}

void acceptor::completed(const io_uring_cqe& cqe) noexcept {
    const int result = cqe.res;
    if (result < 0 && direct_) { // another listener may need the place
        place_.end();
        home().given_back();
    }
    if (is_terminal(cqe)) {
        accept_ = {};
        if (std::exchange(cancelled_, false)) {
            // If it brought a connection all the same, that is the outcome.
            if (result < 0 && open()) {
                tell(-ECANCELED);
                ask_for_turn_end();
                return;
            }
        }
    }
    if (result >= 0)
        accepted(result);
    else if (!open())
        tell(-ECANCELED);
    else if (is_out_of_resources(-result))
        out_of_resources();
    else if (!is_of_the_connection(-result) && result != -ECANCELED)
        tell(result);
    if (is_terminal(cqe) && open() && !armed()) ask_for_turn_end();
}

void acceptor::accepted(int descriptor) noexcept {
    pause_ = {};
    if (open() && reserve_given_up() && refuse(descriptor)) return;
    if (!direct_) apply_options(home().behind(), descriptor, AF_UNIX, not_inherited_);
    accepted_connection taken{
        descriptor, count_ ? counted_connection(count_) : counted_connection(), std::move(place_)};
    if (taker_ != nullptr) {
        tell(std::move(taken));
    } else if (open() || releasing()) {
        ahead_.push_back(std::move(taken));
        if (!wants_more()) ask_for_turn_end(); // to stop the multishot
    } else {
        home().dispose(taken.file(), std::move(taken.place));
    }
}

void acceptor::out_of_resources() noexcept {
    ++home().counters().accepts_deferred;
    if (reserve_ >= 0) {
        home().behind().close(std::exchange(reserve_, -1));
        return;
    }
    if (pause_ == duration::zero())
        log().warn("accept: out of descriptors or memory; connections wait in the backlog");
    pause_ = pause_ == duration::zero() ? first_pause : std::min(pause_ * 2, longest_pause);
    closed_at_pause_ = home().counters().descriptors_closed;
    home().timers().arm(*this, home().now() + pause_);
    ask_for_close_end();
}

// The reserve was given up for this connection. If there is room for both, it is welcome after all.
bool acceptor::refuse(int descriptor) noexcept {
    open_reserve();
    if (reserve_ >= 0) return false;
    kernel& behind = home().behind();
    const ::linger at_once{.l_onoff = 1, .l_linger = 0};
    behind.set_option(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    behind.close(descriptor); // no operation was ever started on it
    ++home().counters().connections_refused;
    open_reserve();
    return true;
}

void acceptor::open_reserve() noexcept {
    reserve_ = std::max(home().behind().open_socket(AF_UNIX, SOCK_DGRAM, 0), -1);
}

void acceptor::tell(accepted_connection taken) noexcept {
    if (taker_ != nullptr) std::exchange(taker_, nullptr)->accepted(std::move(taken));
}

void acceptor::cancel() noexcept {
    if (accepting() && !multishot_) {
        cancelled_ = true;
        home().request_cancel(accept_);
    } else {
        tell(-ECANCELED); // what arrives is for the next one
        if (streams_.empty()) cancel_timer();
    }
}

void acceptor::leave(taker& waiting) noexcept {
    if (taker_ != &waiting) return;
    taker_ = nullptr;
    cancelled_ = false; // what was asked for this taker's sake is no business of the next one
    if (accept_ && !multishot_) home().request_cancel(accept_);
}

void acceptor::cancel_in_flight() noexcept {
    home().request_cancel(accept_);
}

// Connections that were accepted ahead, and those that the accept in flight still brings, go with the descriptor.
void acceptor::prepare_release() noexcept {
    stop_accepting();
    if (!accepting()) tell(-EBADF);
}

void acceptor::stop_accepting() noexcept {
    cancel_timer();
    intake::unlink();
    if (reserve_ >= 0) home().behind().close(std::exchange(reserve_, -1));
    while (!streams_.empty()) {
        stream& ended = streams_.pop_front();
        ended.from_ = nullptr;
    }
}

void acceptor::closing() noexcept {
    stop_accepting();
    // A successor may have taken the path.
    if (!path_.empty() && home().behind().identify_file(path_.c_str()) == file_)
        home().behind().remove_file(path_.c_str());
    for (accepted_connection& unwanted : ahead_) home().dispose(unwanted.file(), std::move(unwanted.place));
    ahead_.clear();
    if (!accepting()) tell(-EBADF);
}

} // namespace chainring
