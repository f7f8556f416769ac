#include <chainring/net/send_bundle.hpp>

#include <algorithm>
#include <limits>

namespace chainring {

send_bundle::send_bundle(executor& home)
    : home_(home)
    , buffers_(most_buffers) {}

fault send_bundle::open() noexcept {
    ring& used = home_.submissions();
    if ((used.native().features & IORING_FEAT_RECVSEND_BUNDLE) == 0 || !home_.behind().sends_bundles())
        return fault::from_errno(EOPNOTSUPP);
    int returned = -EEXIST;
    for (unsigned tries = 0; returned == -EEXIST && tries <= std::numeric_limits<std::uint16_t>::max();
         ++tries) {
        group_ = used.next_buffer_group();
        returned = buffers_.open(home_.behind(), used, group_);
    }
    open_ = returned >= 0;
    return open_ ? fault() : fault::from_result(returned);
}

void send_bundle::close() noexcept {
    if (std::exchange(open_, false)) buffers_.close(home_.behind(), home_.submissions(), group_);
}

bool send_bundle::may_carry(const msghdr& pieces) noexcept {
    // Which buffers a batch that fell short has left in the ring the kernel does not say in every case.
    if (std::exchange(holds_a_rest_, false)) {
        close();
        (void)open();
    }
    return open_ && pieces.msg_iovlen <= most_buffers;
}

void send_bundle::prepare(io_uring_sqe& sqe, int descriptor, const msghdr& pieces, int flags) noexcept {
    moved_ = 0;
    size_ = 0;
    for (std::uint32_t at = 0; at < pieces.msg_iovlen; ++at) {
        const iovec& piece = pieces.msg_iov[at];
        buffers_.add(
            piece.iov_base, static_cast<std::uint32_t>(piece.iov_len), static_cast<std::uint16_t>(at), at);
        size_ += static_cast<int>(piece.iov_len);
    }
    buffers_.advance(static_cast<std::uint32_t>(pieces.msg_iovlen));
    io_uring_prep_send_bundle(&sqe, descriptor, 0, flags);
    sqe.flags |= IOSQE_BUFFER_SELECT;
    sqe.buf_group = group_;
}

int send_bundle::result_of(const io_uring_cqe& last) noexcept {
    const int total = moved_ + std::max(last.res, 0);
    holds_a_rest_ = total != size_;
    return total > 0 ? total : last.res;
}

} // namespace chainring
