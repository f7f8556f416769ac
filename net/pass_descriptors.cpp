#include <chainring/net/pass_descriptors.hpp>

#include <cstring>

namespace chainring {

send_fd_operation::send_fd_operation(sender* to, std::span<const int> descriptors, byte_span bytes)
    : send_waiter(to)
    , control_(CMSG_SPACE(descriptors.size_bytes())) {
    cmsghdr header{};
    header.cmsg_len = CMSG_LEN(descriptors.size_bytes());
    header.cmsg_level = SOL_SOCKET;
    header.cmsg_type = SCM_RIGHTS;
    std::memcpy(control_.data(), &header, sizeof header);
    if (!descriptors.empty())
        std::memcpy(control_.data() + CMSG_LEN(0), descriptors.data(), descriptors.size_bytes());
    set_bytes(bytes);
    set_with_descriptors();
}

receive_fd_operation::receive_fd_operation(receiver* from, std::span<std::byte> target, unsigned most)
    : operation(from)
    , target_(target)
    , control_(CMSG_SPACE(most * sizeof(int))) {
    // Not with the padding behind them, where there would be room for one more.
    header_.msg_controllen = CMSG_LEN(most * sizeof(int));
}

bool receive_fd_operation::start(executor&) noexcept {
    fault refused = from_ != nullptr ? from_->admit(*this) : fault(errc::closed);
    if (!refused && from_->went_ahead()) {
        from_->leave(*this);
        refused = errc::receives_ahead;
    }
    if (refused) {
        refuse(refused);
        return false;
    }
    if (from_->may_take()) return false;
    memory_ = {target_.data(), target_.size()};
    header_.msg_iov = &memory_;
    header_.msg_iovlen = 1;
    header_.msg_control = control_.data();
    direct_ = true; // before it starts: it may complete at once
    from_->wait_directly(header_);
    return true;
}

void receive_fd_operation::cancel() noexcept {
    from_->cancel();
}

void receive_fd_operation::received_directly(int result) noexcept {
    if (result <= 0) return;
    received_.size = static_cast<std::size_t>(result);
    collect();
}

// Where nothing was received the memory is as it was: zeros.
void receive_fd_operation::collect() noexcept {
    for (cmsghdr* at = CMSG_FIRSTHDR(&header_); at != nullptr; at = CMSG_NXTHDR(&header_, at)) {
        if (at->cmsg_len < CMSG_LEN(0)) return;
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t each = 0; each < count; ++each) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(at) + each * sizeof descriptor, sizeof descriptor);
            received_.descriptors.emplace_back(descriptor);
        }
    }
}

result<received_descriptors> receive_fd_operation::await_resume() {
    if (error_) return failure(error_);
    if (from_ != nullptr) { // bytes that were there before
        const result<std::size_t> taken = from_->take_into(*this, target_);
        if (!taken) return failure(taken.error());
        received_.size = *taken;
    }
    if (received_.size > target_.size()) return failure(from_errno(EMSGSIZE)); // a message that was cut off
    if ((header_.msg_flags & MSG_CTRUNC) != 0) return failure(errc::too_many_descriptors);
    return std::move(received_);
}

// The kernel may be writing into the target, and what it has received by then is nobody's.
void receive_fd_operation::end() noexcept {
    receiver& from = *from_;
    from.leave(*this);
    from.cancel_and_wait();
    collect();
}

result<credentials> local_stream::peer_credentials() const noexcept {
    connection* const of = connected();
    if (of == nullptr) return failure(errc::closed);
    ucred found{};
    socklen_t length = sizeof found;
    const int descriptor = of->control();
    const int returned =
        descriptor < 0 ? descriptor
                       : of->home().behind().get_option(descriptor, SOL_SOCKET, SO_PEERCRED, &found, length);
    if (returned < 0) return failure(from_errno(-returned));
    return credentials{found.pid, found.uid, found.gid};
}

} // namespace chainring
