#include <chainring/net/write_operation.hpp>

namespace chainring {

namespace {

// The bytes follow the object.
class copied_message final : public buffered_message {
  public:
    static copied_message* with_room_for(std::size_t size) {
        return ::new (frame_pool::allocate(sizeof(copied_message) + size)) copied_message(size);
    }
    std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }

  private:
    explicit copied_message(std::size_t size) noexcept { set_bytes(byte_span(data(), size)); }

    void remove() noexcept override {
        const std::size_t bytes = sizeof(copied_message) + size();
        this->~copied_message();
        frame_pool::release(this, bytes);
    }
};

} // namespace

buffered_message* buffered_message::copy_of(byte_span bytes) {
    copied_message* made = copied_message::with_room_for(bytes.size());
    if (!bytes.empty()) std::memcpy(made->data(), bytes.data(), bytes.size());
    return made;
}

buffered_message* buffered_message::copy_of(byte_spans pieces) {
    std::size_t size = 0;
    for (const byte_span piece : pieces) size += piece.size();
    copied_message* made = copied_message::with_room_for(size);
    std::byte* to = made->data();
    for (const byte_span piece : pieces) to = std::copy(piece.begin(), piece.end(), to);
    return made;
}

bool write_waiter::start(executor&) {
    error_ = to_ != nullptr ? to_->refuses_write(size()) : fault(errc::closed);
    if (error_) return false;
    buffered_message* message = make();
    to_->write(*message);
    if (!to_->above_high_water()) return false;
    message_ = message;
    message->tell(&message_);
    to_->wait_for_room(*this);
    return true;
}

// Still whole in the queue: nothing of it is sent. Otherwise it has been written.
void write_waiter::cancel() noexcept {
    if (message_ != nullptr && to_->withdraw(*message_)) {
        error_ = errc::cancelled;
        message_->destroy();
    }
    to_->stop_waiting(*this);
}

} // namespace chainring
