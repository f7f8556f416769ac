#include <chainring/net/write_operation.hpp>

namespace chainring {

namespace {

// The bytes follow the object.
class copied_message final : public buffered_message {
  public:
    static copied_message* with_room_for(std::size_t size, std::size_t more) {
        return ::new (frame_pool::allocate(sizeof(copied_message) + size + more)) copied_message(size, more);
    }
    std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }

  private:
    copied_message(std::size_t size, std::size_t more) noexcept
        : allocated_(sizeof(copied_message) + size + more) {
        set_bytes(byte_span(data(), size));
        set_room(more);
    }

    void remove() noexcept override {
        const std::size_t bytes = allocated_;
        this->~copied_message();
        frame_pool::release(this, bytes);
    }

    std::size_t allocated_; // in bytes
};

} // namespace

buffered_message* buffered_message::copy_of(byte_span bytes, std::size_t room) {
    copied_message* made = copied_message::with_room_for(bytes.size(), room);
    if (!bytes.empty()) std::memcpy(made->data(), bytes.data(), bytes.size());
    return made;
}

buffered_message* buffered_message::copy_of(byte_spans pieces, std::size_t room) {
    std::size_t size = 0;
    for (const byte_span piece : pieces) size += piece.size();
    copied_message* made = copied_message::with_room_for(size, room);
    std::byte* to = made->data();
    for (const byte_span piece : pieces) to = std::copy(piece.begin(), piece.end(), to);
    return made;
}

// The second small message of a burst shows that it is one: then the blocks are large.
std::size_t write_waiter::room_behind() const noexcept {
    constexpr std::size_t first_block = 1024;
    constexpr std::size_t next_block = 4096;
    const std::size_t block = to_->unsent() != 0 ? next_block : first_block;
    return to_->is_stream() && size() < block ? block - size() : 0;
}

bool write_waiter::goes_on() {
    error_ = to_ != nullptr ? to_->refuses_write(size()) : fault(errc::closed);
    if (error_) return true;
    buffered_message* const message = make();
    to_->write(*message);
    if (!to_->above_high_water()) [[likely]]
        return true;
    message_ = message;
    message->tell(&message_);
    return false;
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
