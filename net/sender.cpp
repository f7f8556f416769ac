#include <chainring/net/send_bundle.hpp>
#include <chainring/net/sender.hpp>

#include <poll.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace chainring {

constexpr int message_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
// Without MSG_WAITALL a short send would count as a success, and what is linked to it would follow a hole.
constexpr int stream_flags = message_flags | MSG_WAITALL;

// A send whose bytes the kernel reads even after its result: until a notification says that the network has let go
// of them. The connection may be gone by then.
class sender::zero_copy_send final : public completion {
  public:
    zero_copy_send(sender& from, std::shared_ptr<const void> bytes) noexcept
        : from_(from)
        , counters_(from.home().counters())
        , bytes_(std::move(bytes)) {}

    void complete(const io_uring_cqe& cqe) noexcept override {
        if ((cqe.flags & IORING_CQE_F_NOTIF) == 0)
            from_.complete(cqe);
        else if ((static_cast<unsigned>(cqe.res) & IORING_NOTIF_USAGE_ZC_COPIED) != 0)
            ++counters_.zero_copies_copied;
        if (is_terminal(cqe)) delete this;
    }

    // The network reads on after the executor's end: memory that went to somebody else would show there.
    void given_up() noexcept override {
        static std::mutex mutex;
        static std::vector<std::shared_ptr<const void>> kept_for_ever;
        const std::lock_guard lock(mutex);
        kept_for_ever.push_back(std::move(bytes_));
        delete this;
    }

  private:
    sender& from_; // until the result
    statistics& counters_;
    std::shared_ptr<const void> bytes_;
};

// A send of a bundle, of whose parts the kernel may tell one by one.
class sender::bundled_send final : public completion {
  public:
    explicit bundled_send(sender& from)
        : from_(from)
        , bundle_(from.home()) {}

    send_bundle& bundle() noexcept { return bundle_; }

    void complete(const io_uring_cqe& cqe) noexcept override {
        if (!is_terminal(cqe)) return bundle_.moved(cqe);
        io_uring_cqe whole{};
        whole.user_data = cqe.user_data;
        whole.res = bundle_.result_of(cqe);
        from_.complete(whole);
    }

  private:
    sender& from_;
    send_bundle bundle_;
};

struct sender::seldom_used {
    send_marks marks;
    // Of zero copies and of bundles.
    std::shared_ptr<const void> given_up; // the bytes of the first message
    std::unique_ptr<bundled_send> bundle;
};

// Reports when a socket that was full has room again. A multishot poll: one of a single shot reports at once that the
// peer has half-closed, asked or not, and never anything else. If it may be somebody else than the peer of a unix socket
// who has no room, no poll tells of that, and each attempt reports room at its end, its own. Then a pause is what is waited for.
class sender::room_watch final : public completion, private timer {
  public:
    explicit room_watch(sender& from) noexcept
        : from_(from) {}

    bool full() const noexcept { return full_; }
    void set_full() noexcept { full_ = true; }
    void sent_something() noexcept { pause_ = first_pause; }

    // It stays armed: what was full once is soon full again.
    void arm() noexcept {
        pauses_ = from_.sends_to_anybody_ && from_.queue_.begins_with_an_address();
        if (pauses_) {
            if (timer::armed()) return;
            from_.home().timers().arm(*this, from_.home().behind().now() + pause_);
            pause_ = std::min(2 * pause_, longest_pause);
            return;
        }
        if (std::exchange(armed_, true)) return;
        operation_ = from_.socket_.start(*this, [this](io_uring_sqe& sqe) {
            io_uring_prep_poll_multishot(&sqe, from_.socket_.descriptor(), POLLOUT);
        });
    }
    void cancel() noexcept {
        cancel_timer();
        from_.home().request_cancel(operation_);
    }
    // A unix socket reports each read of the peer's, also when nothing is to be sent.
    void end_if_unneeded() noexcept {
        if (std::exchange(unneeded_, false)) cancel();
    }

    void complete(const io_uring_cqe& cqe) noexcept override {
        if (!pauses_ && cqe.res > 0 && (cqe.res & (POLLOUT | POLLERR | POLLHUP)) != 0) full_ = false;
        if (is_terminal(cqe))
            armed_ = false;
        else
            unneeded_ = from_.queue_.idle();
        from_.socket_.ask_for_turn_end();
        if (!armed_) from_.socket_.operation_ended();
    }

  private:
    static constexpr duration first_pause = std::chrono::microseconds(100);
    static constexpr duration longest_pause = std::chrono::milliseconds(16);

    void fire() noexcept override {
        full_ = false;
        from_.socket_.ask_for_turn_end();
    }

    sender& from_;
    operation_id operation_;
    duration pause_ = first_pause;
    bool full_ = false;
    bool armed_ = false;
    bool unneeded_ = false;
    bool pauses_ = false; // instead of polling
};

sender::sender(socket& of, framing carries) noexcept
    : socket_(of)
    , framing_(carries)
    , queue_(of.home().counters()) {}

sender::~sender() = default;

void sender::became_full() {
    if (room_ == nullptr) room_ = std::make_unique<room_watch>(*this);
    room_->set_full();
}

// Or else it waits for room.
bool sender::may_send() noexcept {
    room_->end_if_unneeded();
    if (!room_->full() || !queue_.wants_room()) return true;
    room_->arm();
    return false;
}

void sender::cancel_in_flight() noexcept {
    cancel_batch();
    if (room_ != nullptr) room_->cancel();
}

sender::seldom_used& sender::options() {
    if (options_ == nullptr) options_ = std::make_unique<seldom_used>();
    return *options_;
}

void sender::set_marks(const send_marks& marks) {
    options().marks = marks;
}

const send_marks& sender::own_marks() const noexcept {
    return options_->marks;
}

void sender::set_zero_copy(std::size_t from) noexcept {
    // A short string does not leave its bytes where they are when it moves.
    constexpr std::size_t least = 1024;
    options();
    queue_.set_zero_copy(
        from == 0 ? send_queue::never
                  : static_cast<std::uint32_t>(std::clamp<std::size_t>(from, least, send_queue::never - 1U)));
}

bool sender::submit_zero_copy() noexcept {
    const byte_span bytes = queue_.form_zero_copy_batch();
    if (bytes.empty()) return false;
    if (auto given_up = queue_.first_given_up()) options_->given_up = std::move(given_up);
    members_ = 1;
    zero_copy_ = true;
    operation_ = socket_.start(*new zero_copy_send(*this, options_->given_up), [&](io_uring_sqe& sqe) {
        io_uring_prep_send_zc(
            &sqe, socket_.descriptor(), bytes.data(), bytes.size(), stream_flags,
            IORING_SEND_ZC_REPORT_USAGE);
    });
    ++home().counters().zero_copies;
    count_batch(queue_.messages_in_batch());
    return true;
}

void sender::submit_batch() noexcept {
    has_sent_ = true;
    if (queue_.brings_descriptors()) [[unlikely]] {
        submit_with_descriptors();
        return;
    }
    if (queue_.zero_copies() && submit_zero_copy()) [[unlikely]]
        return;
    const byte_span only = queue_.form_simple_batch();
    if (only.empty()) [[unlikely]] {
        submit_parts();
        return;
    }
    members_ = 1;
    operation_ = socket_.start(*this, [&](io_uring_sqe& sqe) {
        io_uring_prep_send(&sqe, socket_.descriptor(), only.data(), only.size(), stream_flags);
    });
    count_batch(queue_.messages_in_batch());
}

// Not with MSG_WAITALL: the kernel would try again by itself, and some bring the descriptors along once more.
void sender::submit_with_descriptors() noexcept {
    home().make_room(1);
    const msghdr* const header = queue_.form_batch_with_descriptors(home().until_submitted());
    members_ = 1;
    operation_ = socket_.start(*this, [&](io_uring_sqe& sqe) {
        io_uring_prep_sendmsg(&sqe, socket_.descriptor(), header, message_flags);
    });
    count_batch(queue_.messages_in_batch());
}

fault sender::set_path(send_path path) {
    if (!is_stream()) return path == send_path::chained ? fault() : fault::from_errno(EOPNOTSUPP);
    if (path == send_path::bundled && (options_ == nullptr || options_->bundle == nullptr)) {
        auto made = std::make_unique<bundled_send>(*this);
        if (const fault refused = made->bundle().open()) return refused;
        options().bundle = std::move(made);
    }
    path_ = path;
    return {};
}

void sender::submit_parts() noexcept {
    if (path_ == send_path::chained) {
        send_part parts[operation_id::most_members];
        submit_parts(parts, send_queue::parts::one_a_message);
    } else if (path_ == send_path::bundled) {
        send_part whole;
        submit_parts({&whole, 1}, send_queue::parts::filled);
    } else {
        send_part parts[most_parts];
        submit_parts(parts, send_queue::parts::filled);
    }
}

void sender::submit_parts(std::span<send_part> room, send_queue::parts are) noexcept {
    const std::span<send_part> parts = room.first(std::min<std::size_t>(room.size(), home().longest_chain()));
    home().make_room(static_cast<unsigned>(parts.size()));
    const unsigned count = queue_.form_batch(home().until_submitted(), parts, are);
    if (count == 0) {
        queue_.completed(0, 0);
        if (queue_.wants_batch()) socket_.ask_for_turn_end(); // what is behind goes by itself
        return;
    }
    count_batch(queue_.messages_in_batch());
    members_ = static_cast<std::uint8_t>(count);
    if (path_ == send_path::bundled && submit_bundle(parts.front())) return;
    operation_ = socket_.start_chain(*this, count, [&](io_uring_sqe& sqe, unsigned member) {
        const send_part& part = parts[member];
        if (part.several != nullptr)
            io_uring_prep_sendmsg(&sqe, socket_.descriptor(), part.several, stream_flags);
        else
            io_uring_prep_send(
                &sqe, socket_.descriptor(), part.single.data(), part.single.size(), stream_flags);
    });
}

// What is in one piece, or in too many, is gathered.
bool sender::submit_bundle(const send_part& part) noexcept {
    if (part.several == nullptr) return false;
    bundled_send& sent = *options_->bundle;
    if (!sent.bundle().may_carry(*part.several)) return false;
    operation_ = socket_.start(sent, [&](io_uring_sqe& sqe) {
        sent.bundle().prepare(sqe, socket_.descriptor(), *part.several, stream_flags);
    });
    ++home().counters().bundles_sent;
    return true;
}

void sender::count_batch(std::uint32_t messages) noexcept {
    ++home().counters().batches_sent;
    home().counters().messages_sent += messages;
}

void sender::submit_chain() noexcept {
    outgoing_message* room[operation_id::most_members];
    const unsigned count = queue_.form_chain(std::span(room).first(home().longest_chain()));
    if (count == 0) {
        queue_.chain_completed(0, 0, framing_);
        return;
    }
    members_ = static_cast<std::uint8_t>(count);
    operation_ = socket_.start_chain(*this, count, [&](io_uring_sqe& sqe, unsigned member) {
        outgoing_message& message = *room[member];
        if (message.in_one_piece() && !message.brings_descriptors() && !message.has_envelope()) {
            const byte_span bytes = message.bytes();
            io_uring_prep_send(&sqe, socket_.descriptor(), bytes.data(), bytes.size(), message_flags);
        } else {
            const msghdr* header = send_queue::header_of(message, home().until_submitted());
            io_uring_prep_sendmsg(&sqe, socket_.descriptor(), header, message_flags);
        }
    });
    count_batch(count);
}

void sender::complete(const io_uring_cqe& cqe) noexcept {
    const unsigned member = operation_id::member_of(cqe);
    const int result = zero_copy_ ? zero_copy_result(cqe.res) : cqe.res;
    if (is_stream() && queue_.is_all(member, result)) [[likely]]
        queue_.completed_whole();
    else
        completed(member, result);
    if (state_ == state::closed) [[unlikely]]
        queue_.fail_queued(errc::closed, errc::closed);
    else if (queue_.wants_batch() || queue_.cut_off() || state_ == state::draining)
        socket_.ask_for_turn_end();
    zero_copy_ = false;
    if (options_ != nullptr) [[unlikely]]
        release_given_up();
    if (!writers_.empty() && (queue_.failed() || below_low_water())) release_writers(queue_.failure());
    socket_.operation_ended();
}

// The member of the batch that the others ended with.
void sender::completed(unsigned member, int result) noexcept {
    if (room_ != nullptr && (member != 0 || result >= 0)) room_->sent_something();
    if (result == -EAGAIN || (is_stream() && result >= 0)) became_full();
    // Once this side closes, whatever ended the batch is a consequence of that.
    if (result == -EAGAIN || (result < 0 && state_ == state::closed)) result = -ECANCELED;
    const bool of_one_message =
        framing_ == framing::datagrams || result == -EMSGSIZE || send_queue::is_of_descriptors(result);
    if (result < 0 && result != -ECANCELED && !of_one_message) result = -socket_.broke(-result);
    if (is_stream())
        queue_.completed(member, result);
    else
        queue_.chain_completed(member, result, framing_);
}

// The first message has changed, or may have.
void sender::release_given_up() noexcept {
    if (options_ != nullptr && !queue_.first_is_given_up()) options_->given_up.reset();
}

// What is left of the operation is its notification, which nobody waits for or cancels.
int sender::zero_copy_result(int result) noexcept {
    operation_ = {};
    if (result != -ENOBUFS && result != -ENOMEM) return result;
    // The memory that such sends may pin is used up (RLIMIT_MEMLOCK, net.core.optmem_max): copies go on.
    queue_.set_zero_copy(send_queue::never);
    return -ECANCELED;
}

void sender::release_writers(fault error) noexcept {
    while (!writers_.empty()) {
        writer& released = writers_.pop_front();
        released.error_ = error;
        home().ready().push(released);
    }
}

void sender::cancel(outgoing_message& message) noexcept {
    if (queue_.cancel(message))
        release_given_up();
    else
        cancel_batch();
    if (queue_.cut_off()) socket_.ask_for_turn_end();
}

void sender::abandon(outgoing_message& message) noexcept {
    if (send_queue::goes_without(message)) {
        struct unheard final : outgoing_message {
            void settled(fault) noexcept override { delete this; }
        };
        send_queue::replace(message, *new unheard);
        return;
    }
    if (!queue_.cancel(message)) home().cancel_and_wait(operation_, members_);
    if (queue_.cut_off()) socket_.ask_for_turn_end();
}

void sender::drain(bool awaited_too) noexcept {
    state_ = state::draining;
    release_writers({}); // what they wrote will be sent
    if (!awaited_too && !queue_.settle_awaited(errc::closed) && !queue_.idle()) close();
}

void sender::close() noexcept {
    state_ = state::closed;
    queue_.fail_queued(errc::closed, errc::closed);
    release_writers(errc::closed);
}

// The handle may outlive the executor, and with it the ring.
void sender::let_go() noexcept {
    if (options_ != nullptr) options_->bundle.reset();
}

} // namespace chainring
