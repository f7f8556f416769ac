#include <chainring/net/datagram_operations.hpp>

#include <climits>
#include <cstring>
#include <limits>

namespace chainring {

namespace {

// Lives in the queue, with the bytes behind it if they were borrowed.
class written_datagram final : public buffered_message {
  public:
    static written_datagram* made_of(datagram_payload&& payload, datagram_envelope&& envelope) {
        const std::size_t copied = payload.is_borrowed() ? payload.size() : 0;
        return ::new (frame_pool::allocate(sizeof(written_datagram) + copied))
            written_datagram(std::move(payload), std::move(envelope), copied);
    }

  private:
    written_datagram(datagram_payload&& payload, datagram_envelope&& envelope, std::size_t copied) noexcept
        : payload_(std::move(payload))
        , envelope_(std::move(envelope))
        , copied_(copied) {
        if (payload_.is_borrowed()) {
            auto* const behind = reinterpret_cast<std::byte*>(this + 1);
            payload_.copy_to(behind);
            set_bytes(byte_span(behind, copied));
        } else {
            payload_.visit_bytes([this](const auto& bytes) { set_bytes(bytes); });
        }
        if (!envelope_.empty()) set_with_envelope();
    }

    void remove() noexcept override {
        const std::size_t bytes = sizeof(written_datagram) + copied_;
        this->~written_datagram();
        frame_pool::release(this, bytes);
    }
    std::span<std::byte> control() noexcept override { return envelope_.control(); }
    const endpoint* destination() const noexcept override { return envelope_.destination(); }

    datagram_payload payload_;
    datagram_envelope envelope_;
    std::size_t copied_; // bytes behind the object
};

// What recvmsg(2) says of a header that is none; but the kernel sees some of it only when a datagram is lost.
fault refusal_of(const msghdr& target) noexcept {
    if (target.msg_iovlen > IOV_MAX) return fault::from_errno(EMSGSIZE);
    if (target.msg_name != nullptr && target.msg_namelen > std::numeric_limits<int>::max())
        return fault::from_errno(EINVAL);
    if (target.msg_iov == nullptr && target.msg_iovlen != 0) return fault::from_errno(EFAULT);
    for (const iovec& piece : std::span(target.msg_iov, target.msg_iovlen)) {
        if (piece.iov_len > static_cast<std::size_t>(std::numeric_limits<ssize_t>::max()))
            return fault::from_errno(EINVAL);
        if (piece.iov_base == nullptr && piece.iov_len != 0) return fault::from_errno(EFAULT);
    }
    return {};
}

// Returns the bytes that had room.
std::size_t place_payload(std::span<const std::byte> payload, std::span<const iovec> pieces) noexcept {
    std::span<const std::byte> rest = payload;
    for (const iovec& piece : pieces) {
        const std::size_t size = std::min(rest.size(), piece.iov_len);
        std::copy_n(rest.begin(), size, static_cast<std::byte*>(piece.iov_base));
        rest = rest.subspan(size);
    }
    return payload.size() - rest.size();
}

// False: something had no room, and is cut off as the kernel does it; of descriptors as many come as have room. These are whose
// memory it is.
bool place_control(datagram& from, msghdr& into) noexcept {
    const std::size_t room = std::exchange(into.msg_controllen, 0);
    auto* const memory = static_cast<std::byte*>(into.msg_control);
    auto next = from.descriptors.begin();
    bool whole = true;
    from.control().for_each([&](const control_message& each) {
        const std::size_t left = room - into.msg_controllen;
        const bool passes = brings_descriptors(each);
        std::size_t size = std::min(each.data.size(), left - std::min(left, CMSG_LEN(0)));
        if (passes) {
            const auto to_come = static_cast<std::size_t>(from.descriptors.end() - next);
            size = std::min(size / sizeof(int), to_come) * sizeof(int);
        }
        whole = left >= CMSG_LEN(0) && size == each.data.size();
        if (left < CMSG_LEN(0) || (passes && size == 0)) return false;
        cmsghdr header{};
        header.cmsg_len = CMSG_LEN(size);
        header.cmsg_level = each.level;
        header.cmsg_type = each.type;
        std::byte* const place = memory + into.msg_controllen;
        std::memcpy(place, &header, sizeof header);
        std::copy_n(each.data.begin(), size, place + CMSG_LEN(0));
        into.msg_controllen += std::min(left, CMSG_SPACE(size));
        for (std::size_t come = passes ? size / sizeof(int) : 0; come != 0; --come) (next++)->take();
        return whole;
    });
    return whole;
}

// As recvmsg(2) would have filled it. Returns the bytes that are in its pieces.
std::size_t place(datagram from, msghdr& into) noexcept {
    into.msg_flags = MSG_CMSG_CLOEXEC;
    const std::size_t placed = place_payload(from.payload(), {into.msg_iov, into.msg_iovlen});
    if (placed < from.sent_size()) into.msg_flags |= MSG_TRUNC;
    if (!place_control(from, into) || from.control_truncated()) into.msg_flags |= MSG_CTRUNC;
    if (into.msg_name == nullptr) return placed;
    const endpoint sender = from.from();
    const socklen_t size = sender.family() == AF_UNSPEC ? 0 : sender.length();
    std::memcpy(into.msg_name, sender.address(), std::min(size, into.msg_namelen));
    into.msg_namelen = size;
    return placed;
}

} // namespace

bool datagram_receive_operation::start(executor&) noexcept {
    if (const fault refused = from_ != nullptr ? from_->admit(*this) : fault(errc::closed)) {
        refuse(refused);
        return false;
    }
    if (from_->may_take()) return false;
    from_->wait();
    return true;
}

bool msghdr_reader::receive(msghdr& target, executor& home) noexcept {
    home_ = &home;
    target_ = &target;
    // If nothing is received what is left of an earlier message must not look like one of this.
    if (target.msg_control == nullptr)
        target.msg_controllen = 0;
    else
        std::memset(target.msg_control, 0, target.msg_controllen);
    fault refused = from_ != nullptr ? refusal_of(target) : fault(errc::closed);
    if (!refused) refused = from_->admit(*this);
    if (refused) {
        refuse(refused);
        return false;
    }
    if (from_->may_take()) return false;
    if (from_->armed()) {
        from_->wait(); // a multishot receive is armed already: what it brings is copied
        return true;
    }
    name_room_ = target.msg_namelen;
    control_room_ = target.msg_controllen;
    direct_ = true; // before it starts: it may complete at once
    from_->wait_directly(target);
    return true;
}

void msghdr_reader::receive_again() noexcept {
    target_->msg_namelen = name_room_;
    target_->msg_controllen = control_room_;
    from_->wait_directly(*target_);
}

void msghdr_reader::cancel() noexcept {
    if (direct_)
        from_->cancel();
    else
        from_->dismiss(*this, errc::cancelled);
}

result<std::size_t> msghdr_reader::finish() {
    const bool direct = std::exchange(direct_, false);
    if (error_) {
        if (direct) close_descriptors();
        return failure(error_);
    }
    if (from_ == nullptr) {
        std::size_t room = 0;
        for (const iovec& piece : std::span(target_->msg_iov, target_->msg_iovlen)) room += piece.iov_len;
        return std::min(sent_size_, room);
    }
    result<datagram> taken = from_->take(*this);
    if (!taken) return failure(taken.error());
    sent_size_ = taken->sent_size();
    return place(std::move(*taken), *target_);
}

// What nobody is told of is nobody's: an empty datagram may have come as the socket closed.
void msghdr_reader::close_descriptors() noexcept {
    take_descriptors(control_messages(*target_), home_->behind());
    if (target_->msg_controllen != 0) std::memset(target_->msg_control, 0, target_->msg_controllen);
}

// The kernel may be writing into the memory.
void msghdr_reader::end_unless_finished() noexcept {
    if (!direct_) return;
    if (datagram_receiver* const from = from_) {
        from->leave(*this);
        from->cancel_and_wait();
    }
    close_descriptors();
}

bool datagram_receive_into_operation::start(executor& home) {
    memory_ = {received_.payload.data(), received_.payload.size()};
    header_.msg_iov = &memory_;
    header_.msg_iovlen = 1;
    header_.msg_name = &name_;
    header_.msg_namelen = sizeof name_;
    if (from_ != nullptr) {
        received_.control_bytes.resize(from_->layout().control);
        most_descriptors_ = from_->most_descriptors();
    }
    header_.msg_control = received_.control_bytes.data();
    header_.msg_controllen = received_.control_bytes.size();
    return receive(header_, home);
}

result<placed_datagram> datagram_receive_into_operation::await_resume() {
    const result<std::size_t> placed = finish();
    if (!placed) return failure(placed.error());
    received_.sent_size = sent_size();
    received_.payload = received_.payload.first(*placed);
    received_.control_bytes.resize(control_messages(header_).bytes().size());
    received_.descriptors = take_descriptors(received_.control(), home_->behind());
    received_.truncated = (header_.msg_flags & MSG_TRUNC) != 0;
    received_.control_truncated =
        keep_first(received_.descriptors, most_descriptors_) || (header_.msg_flags & MSG_CTRUNC) != 0;
    if (header_.msg_namelen >= sizeof(sa_family_t))
        received_.from =
            endpoint::from_native(reinterpret_cast<const sockaddr*>(&name_), header_.msg_namelen);
    return std::move(received_);
}

buffered_message* datagram_write_operation::make() {
    return written_datagram::made_of(std::move(payload_), std::move(envelope_));
}

} // namespace chainring
