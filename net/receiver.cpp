#include <chainring/net/receiver.hpp>

namespace chainring {

namespace {

// Not merely the end of a multishot receive.
bool is_error(int result) noexcept {
    return result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN;
}

} // namespace

void receiver::wait_directly(std::span<std::byte> target) noexcept {
    direct_ = true;
    again_ = false;
    operation_ = socket_.start(*this, [&](io_uring_sqe& sqe) {
        io_uring_prep_recv(&sqe, socket_.descriptor(), target.data(), target.size(), flags());
    });
}

void receiver::wait_directly(msghdr& target) noexcept {
    direct_ = true;
    again_ = false;
    operation_ = socket_.start(*this, [&](io_uring_sqe& sqe) {
        io_uring_prep_recvmsg(
            &sqe, socket_.descriptor(), &target, static_cast<unsigned>(flags() | MSG_CMSG_CLOEXEC));
    });
}

void receiver::adjust() noexcept {
    if (armed_) {
        if (received_.full() || (after_a_burst_ && received_.empty())) {
            after_a_burst_ = false;
            cancel();
        }
    } else if (wants_data() && received_.empty() && !starved_receiver::linked()) {
        arm();
    }
}

void receiver::arm() noexcept {
    armed_ = true;
    went_ahead_ = true;
    after_a_burst_ = false;
    operation_ = socket_.start(*this, [this](io_uring_sqe& sqe) {
        // A multishot takes up to 32 blocks at a go, whatever the queue is told to hold.
        if (home().buffers().in_shortage()) [[unlikely]]
            io_uring_prep_recv(&sqe, socket_.descriptor(), nullptr, 0, flags());
        else
            io_uring_prep_recv_multishot(&sqe, socket_.descriptor(), nullptr, 0, flags());
        sqe.flags |= IOSQE_BUFFER_SELECT;
        sqe.buf_group = buffer_pool::group;
    });
}

inline void receiver::received(const io_uring_cqe& cqe) noexcept {
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
        buffer_pool& pool = home().buffers();
        const std::uint16_t block = pool.taken_by_kernel(cqe);
        if (cqe.res > 0 && keeps_what_comes()) [[likely]] {
            pool.came_from(block, socket_.descriptor(), home().now());
            received_.push(pool, block, static_cast<std::uint32_t>(cqe.res));
            // So many arrivals may be in two blocks of a stream; of messages each has its own, and the queue is full before that.
            after_a_burst_ |= framing_ == framing::bytes && received_.blocks() > 1;
        } else {
            pool.put_back(block);
            unwanted_ |= cqe.res > 0;
        }
    }
    // A multishot ends on an error, at the end of the stream, on an empty buffer ring, on a full completion
    // queue, and when it was cancelled: never assume that it goes on.
    if (is_terminal(cqe)) [[unlikely]] {
        armed_ = false;
        receiving_ended(cqe.res);
    } else if (received_.full()) [[unlikely]] {
        socket_.ask_for_turn_end(); // to stop it
        if (received_.blocks() == receive_queue::most_blocks + home().buffers().least_offered())
            home().buffers().offer_less();
    }
    if (reader_waits() && received_.has_news()) tell();
}

void receiver::complete(const io_uring_cqe& cqe) noexcept {
    if (cqe.res > 0) home().counters().bytes_received += static_cast<std::uint64_t>(cqe.res);
    if (armed_) [[likely]]
        received(cqe);
    else
        received_directly(cqe.res);
    if (is_terminal(cqe)) [[unlikely]]
        socket_.operation_ended();
}

void receiver::receiving_ended(int result) noexcept {
    if (result == -ENOBUFS) {
        ++home().counters().no_buffers;
        if (received_.empty()) home().buffers().offer_more();
        // Data stays in the socket. Re-arming before a block has come home would spin.
        if (wants_data() && received_.empty()) home().buffers().starve(*this);
    } else if (result == 0 || is_error(result)) {
        const int error = socket_.broke(-result);
        peer_ended_ = true;
        if (keeps_what_comes() && error == 0) received_.push_end();
        if (keeps_what_comes() && error != 0) received_.push_error(error);
    } else if (wants_data() && received_.empty()) {
        socket_.ask_for_turn_end(); // to re-arm it
    }
    if (discarding_) socket_.ask_for_turn_end();
}

void receiver::received_directly(int result) noexcept {
    direct_ = false;
    if (discarding_) socket_.ask_for_turn_end(); // its turn has come
    if (reader_ == nullptr) return;
    // A worker thread, to which the kernel gives a receive that was often woken for nothing, does not wait on a socket with
    // O_NONBLOCK.
    if (result == -EAGAIN && !closed_) {
        again_ = true;
        socket_.ask_for_turn_end();
        return;
    }
    reader& waiting = *reader_;
    leave(waiting);
    // EINTR is the answer of an operation that had fallen to a worker thread and was told to end there.
    if (result == -EINTR) result = -ECANCELED;
    if (result == 0 || is_error(result)) result = -socket_.broke(-result);
    if (result < 0) waiting.error_ = fault::from_result(result);
    // Once this side closes, whatever ended the operation is a consequence of that.
    if (result <= 0 && closed_) waiting.error_ = closed_;
    waiting.from_ = nullptr;
    waiting.received_directly(result);
    home().ready().push(waiting);
}

void receiver::close(fault why) noexcept {
    if (!closed_) closed_ = why;
    kept_ = false;
    unwanted_ = !received_.empty();
    starved_receiver::unlink();
    received_.discard(home().buffers());
    dismiss_reader();
}

void receiver::stop(fault why) noexcept {
    closed_ = why;
    kept_ = true;
    starved_receiver::unlink();
    dismiss_reader();
}

// One whose own operation is in flight hears of its CQE instead.
void receiver::dismiss_reader() noexcept {
    if (reader_ != nullptr && !direct_) dismiss(*reader_, closed_);
}

std::vector<buffer> receiver::take_all() {
    std::vector<buffer> all;
    all.reserve(received_.blocks());
    while (!received_.empty())
        // A message that was cut off is lost to whoever receives it.
        if (result<buffer> next = received_.take(home().buffers())) all.push_back(std::move(*next));
    return all;
}

// What a receive has taken out of the socket a shutdown has handed out first (executor::stop_intakes). What is still in it comes to
// a receive that is armed, and to the next one.
bool receiver::has_arrived() const noexcept {
    return received_.has_news() || (!closed_ && home().behind().unread(socket_.control()) > 0);
}

bool receiver::peer_still_sends() const noexcept {
    if (peer_ended_) return false;
    return unwanted_ || home().behind().unread(socket_.control()) > 0;
}

} // namespace chainring
