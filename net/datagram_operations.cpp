#include <chainring/net/datagram_operations.hpp>

#include <cstring>

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

bool datagram_receive_into_operation::start(executor& home) {
    home_ = &home;
    if (const fault refused = from_ != nullptr ? from_->admit(*this) : fault(errc::closed)) {
        refuse(refused);
        return false;
    }
    if (from_->may_take()) return false;
    if (from_->armed()) {
        from_->wait(); // a multishot receive is armed already: what it brings is copied
        return true;
    }
    received_.control_bytes.resize(from_->layout().control);
    memory_ = {target_.data(), target_.size()};
    header_.msg_iov = &memory_;
    header_.msg_iovlen = 1;
    header_.msg_name = &name_;
    header_.msg_control = received_.control_bytes.data();
    direct_ = true; // before it starts: it may complete at once
    receive_directly();
    return true;
}

void datagram_receive_into_operation::receive_directly() noexcept {
    header_.msg_namelen = sizeof name_;
    header_.msg_controllen = received_.control_bytes.size();
    from_->wait_directly(header_);
}

void datagram_receive_into_operation::cancel() noexcept {
    if (direct_)
        from_->cancel();
    else
        from_->dismiss(*this, errc::cancelled);
}

void datagram_receive_into_operation::received_directly(int result) noexcept {
    if (result < 0) return;
    received_.sent_size = static_cast<std::size_t>(result);
    received_.size = std::min(received_.sent_size, target_.size());
    collect();
}

// What has been received by its own operation. None of the vectors grows but that of the descriptors.
void datagram_receive_into_operation::collect() noexcept {
    received_.control_bytes.resize(
        std::min<std::size_t>(header_.msg_controllen, received_.control_bytes.size()));
    received_.descriptors = take_descriptors(received_.control(), home_->behind());
    received_.truncated = (header_.msg_flags & MSG_TRUNC) != 0;
    received_.control_truncated = (header_.msg_flags & MSG_CTRUNC) != 0;
    if (header_.msg_namelen >= sizeof(sa_family_t))
        received_.from =
            endpoint::from_native(reinterpret_cast<const sockaddr*>(&name_), header_.msg_namelen);
}

result<placed_datagram> datagram_receive_into_operation::await_resume() {
    if (error_) return failure(error_);
    if (from_ != nullptr) return copied();
    return std::move(received_);
}

result<placed_datagram> datagram_receive_into_operation::copied() {
    result<datagram> taken = from_->take(*this);
    if (!taken) return failure(taken.error());
    const std::span<const std::byte> bytes = taken->payload();
    received_.size = std::min(bytes.size(), target_.size());
    std::copy_n(bytes.begin(), received_.size, target_.begin());
    received_.sent_size = taken->sent_size();
    received_.from = taken->from();
    received_.truncated = taken->truncated() || received_.size < bytes.size();
    received_.control_truncated = taken->control_truncated();
    received_.descriptors = std::move(taken->descriptors);
    const std::span<const std::byte> control = taken->control().bytes();
    received_.control_bytes.assign(control.begin(), control.end());
    return std::move(received_);
}

// The kernel may be writing into the target, and what it has received by then is nobody's.
void datagram_receive_into_operation::end() noexcept {
    datagram_receiver& from = *from_;
    from.leave(*this);
    const std::size_t room = received_.control_bytes.size();
    from.cancel_and_wait();
    // Where nothing was received the memory is as it was: zeros.
    received_.control_bytes.resize(std::min<std::size_t>(header_.msg_controllen, room));
    take_descriptors(received_.control(), home_->behind());
}

buffered_message* datagram_write_operation::make() {
    return written_datagram::made_of(std::move(payload_), std::move(envelope_));
}

} // namespace chainring
