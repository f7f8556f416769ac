#include <chainring/net/datagram_receiver.hpp>

namespace chainring {

namespace {

// The result is the size of the whole datagram, also of one that was cut off.
constexpr unsigned recvmsg_flags = MSG_TRUNC | MSG_CMSG_CLOEXEC;

// The receive has ended, and nothing has failed.
bool is_mere_end(int result) noexcept {
    return result >= 0 || result == -ECANCELED || result == -EINTR || result == -EAGAIN;
}

} // namespace

datagram_receiver::datagram_receiver(
    socket& of, buffer_pool& pool, const datagram_layout& layout, descriptors_allowed descriptors) noexcept
    : socket_(of)
    , pool_(pool)
    , layout_(layout)
    , descriptors_(descriptors) {
    asked_.msg_namelen = layout.name;
    asked_.msg_controllen = layout.control;
}

void datagram_receiver::wait_directly(msghdr& target) noexcept {
    direct_ = true;
    again_ = false;
    operation_ = socket_.start(*this, [&](io_uring_sqe& sqe) {
        io_uring_prep_recvmsg(&sqe, socket_.descriptor(), &target, recvmsg_flags);
    });
}

void datagram_receiver::adjust() noexcept {
    if (armed_)
        cancel();
    else if (received_.empty() && !starved_receiver::linked())
        arm();
}

void datagram_receiver::arm() noexcept {
    armed_ = true;
    operation_ = socket_.start(*this, [this](io_uring_sqe& sqe) {
        io_uring_prep_recvmsg_multishot(&sqe, socket_.descriptor(), &asked_, recvmsg_flags);
        sqe.flags |= IOSQE_BUFFER_SELECT;
        sqe.buf_group = pool_.group_id();
    });
}

void datagram_receiver::complete(const io_uring_cqe& cqe) noexcept {
    if (armed_)
        received(cqe);
    else
        received_directly(cqe.res);
    if (is_terminal(cqe)) [[unlikely]]
        socket_.operation_ended();
}

inline void datagram_receiver::received(const io_uring_cqe& cqe) noexcept {
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
        const std::uint16_t block = pool_.taken_by_kernel(cqe);
        const std::uint32_t size = static_cast<std::uint32_t>(std::max(cqe.res, 0));
        const bool whole = size >= layout_.payload_at();
        if (whole) home().counters().bytes_received += size - layout_.payload_at();
        if (whole && keeps_what_comes()) [[likely]] {
            pool_.came_from(block, socket_.descriptor(), home().now());
            received_.push(pool_, block, size);
        } else {
            throw_away(block, size);
        }
    }
    // It ends on an error, on an empty datagram, on an empty buffer ring, on a full completion queue, and when it was
    // cancelled.
    if (is_terminal(cqe)) [[unlikely]] {
        armed_ = false;
        receiving_ended(cqe.res);
    } else if (received_.full()) [[unlikely]] {
        socket_.ask_for_turn_end(); // to stop it
        if (received_.blocks() == receive_queue::most_blocks + pool_.least_offered()) pool_.offer_less();
    }
    if (reader_waits() && received_.has_news()) {
        told_ = true;
        home().ready().push(*reader_);
    }
}

void datagram_receiver::receiving_ended(int result) noexcept {
    if (result == -ENOBUFS) {
        ++home().counters().no_buffers;
        if (received_.empty()) pool_.offer_more();
        // What has come stays in the socket. Re-arming before a block has come home would spin.
        if (wants_data() && received_.empty()) pool_.starve(*this);
    } else if (!is_mere_end(result)) {
        if (keeps_what_comes()) received_.push_once(-result); // what became of a datagram that was sent
    } else if (wants_data() && received_.empty()) {
        socket_.ask_for_turn_end(); // to re-arm it
    }
}

void datagram_receiver::received_directly(int result) noexcept {
    direct_ = false;
    if (result > 0) home().counters().bytes_received += static_cast<std::uint64_t>(result);
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
    // This side has been shut down for its close, or an empty datagram came too late to be told from that.
    if (result == 0 && closed_ && !kept_) result = -ECANCELED;
    // EINTR is the answer of an operation that had fallen to a worker thread and was told to end there.
    if (result == -EINTR) result = -ECANCELED;
    if (result < 0) waiting.error_ = closed_ ? closed_ : fault::from_result(result);
    waiting.from_ = nullptr;
    waiting.received_directly(result);
    home().ready().push(waiting);
}

result<datagram> datagram_receiver::take(reader& taking) {
    leave(taking);
    result<buffer> block = received_.take(pool_);
    if (!block) return failure(block.error());
    return datagram_of(std::move(*block));
}

datagram datagram_receiver::datagram_of(buffer block) const {
    datagram taken(std::move(block), layout_);
    if (descriptors_.come) taken.take_descriptors_that_came(descriptors_.most, home().behind());
    return taken;
}

void datagram_receiver::dismiss(reader& waiting, fault error) noexcept {
    leave(waiting);
    waiting.from_ = nullptr;
    waiting.error_ = error;
    home().ready().push(waiting);
}

// Descriptors that came along are nobody's.
void datagram_receiver::throw_away(std::uint16_t block, std::uint32_t size) noexcept {
    if (descriptors_.come && size != 0) {
        const std::span<const std::byte> bytes(pool_.data_of(block), size);
        take_descriptors(control_messages(datagram_parts::of(bytes, layout_).control), home().behind());
    }
    pool_.put_back(block);
}

void datagram_receiver::close(fault why) noexcept {
    if (!closed_) closed_ = why;
    kept_ = false;
    starved_receiver::unlink();
    if (descriptors_.come) {
        while (!received_.empty())
            if (const result<buffer> unwanted = received_.take(pool_))
                take_descriptors(
                    control_messages(datagram_parts::of(unwanted->bytes(), layout_).control),
                    home().behind());
    }
    received_.discard(pool_);
    dismiss_reader();
}

void datagram_receiver::stop(fault why) noexcept {
    closed_ = why;
    kept_ = true;
    starved_receiver::unlink();
    dismiss_reader();
}

// One whose own operation is in flight hears of its CQE instead.
void datagram_receiver::dismiss_reader() noexcept {
    if (reader_ != nullptr && !direct_) dismiss(*reader_, closed_);
}

std::vector<datagram> datagram_receiver::take_all() {
    std::vector<datagram> all;
    all.reserve(received_.blocks());
    while (!received_.empty())
        if (result<buffer> next = received_.take(pool_)) all.push_back(datagram_of(std::move(*next)));
    return all;
}

// What is in the socket comes by itself if a receive is armed, but one that is about to be submitted has not seen it. Of an
// empty datagram the kernel does not tell.
bool datagram_receiver::has_arrived() const noexcept {
    return received_.has_news() || (!closed_ && home().behind().unread(socket_.control()) > 0);
}

} // namespace chainring
