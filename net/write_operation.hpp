// write: a message that the queue owns. Its writer goes on at once, or, when the queue is above its high-water
// mark, as soon as the queue has fallen to the low-water mark.
#pragma once

#include <chainring/net/sender.hpp>
#include <chainring/net/shared_message.hpp>
#include <chainring/runtime/frame_pool.hpp>
#include <chainring/runtime/operation.hpp>

#include <cstring>
#include <new>

namespace chainring {

// Lives in the queue until it is sent, or has failed; nobody waits for it.
class buffered_message : public outgoing_message {
  public:
    // Copies the bytes, or takes what owns them.
    static buffered_message* copy_of(byte_span bytes, std::size_t room);
    static buffered_message* copy_of(byte_spans pieces, std::size_t room);
    template <class Payload> static buffered_message* holding(Payload payload);

    void settled(fault) noexcept override { destroy(); }
    void destroy() noexcept {
        if (writer_ != nullptr) *writer_ = nullptr;
        remove();
    }
    // Who is to know when the message has left the queue, and may take it out before.
    void tell(buffered_message** writer) noexcept {
        writer_ = writer;
        set_room(0);
    }

  protected:
    buffered_message() noexcept
        : outgoing_message(waited_for::no) {}
    ~buffered_message() = default;

  private:
    virtual void remove() noexcept = 0;

    buffered_message** writer_ = nullptr;
};

template <class Payload> class held_message final : public buffered_message {
  public:
    explicit held_message(Payload&& payload)
        : payload_(std::move(payload)) {
        set_bytes(bytes_of(payload_));
        set_owned();
    }
    static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
        frame_pool::release(memory, size);
    }

  private:
    void remove() noexcept override { delete this; }
    std::shared_ptr<const void> give_up_bytes() override { return given_up(payload_); }

    Payload payload_;
};

template <class Payload> buffered_message* buffered_message::holding(Payload payload) {
    return new held_message<Payload>(std::move(payload));
}

// What is the same whatever the message is made of.
class write_waiter : public operation<write_waiter, sender::writer> {
  public:
    void refuse(fault error) noexcept { error_ = error; }
    bool begin(wait_site& caller, cancel_scope& scope) {
        if (scope.cancelled() || !goes_on()) return operation::begin(caller, scope);
        return completed_at_once(caller, scope.home());
    }
    bool start(executor&) noexcept { // when it does not go on
        to_->wait_for_room(*this);
        return true;
    }
    void cancel() noexcept override;
    void describe(task_tree& to) const override { to.waits("write on", to_->socket_name()); }
    result<void> await_resume() const noexcept {
        if (error_) [[unlikely]]
            return failure(error_);
        return {};
    }

  protected:
    explicit write_waiter(sender* to) noexcept
        : operation(to) {}
    write_waiter(write_waiter&&) = default;
    ~write_waiter() {
        if (message_ != nullptr) message_->tell(nullptr);
    }

    // A burst of small messages on a stream becomes one, which costs a copy for each and nothing else.
    bool joined(byte_span bytes) noexcept {
        if (to_ == nullptr || bytes.empty()) return false;
        std::byte* const room = to_->join_last(bytes.size());
        if (room == nullptr) return false;
        std::memcpy(room, bytes.data(), bytes.size());
        return true;
    }
    // Memory to have behind a copied message, for those that may be joined to it.
    std::size_t room_behind() const noexcept;

    virtual std::size_t size() const noexcept = 0; // of the message, in bytes
    // Called once, for a message that can be queued.
    virtual buffered_message* make() = 0;

  private:
    // The message is in the queue, or is refused. False: its writer waits. So who goes on is in no list meanwhile.
    bool goes_on();

    buffered_message* message_ = nullptr; // while the writer waits and the message is in the queue
};

template <class Payload> class [[nodiscard("co_await it")]] write_operation : public write_waiter {
  public:
    write_operation(sender* to, Payload&& payload) noexcept
        : write_waiter(to)
        , payload_(std::move(payload)) {}
    write_operation(write_operation&&) = default;

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    bool begin(wait_site& caller, cancel_scope& scope) {
        if (!scope.cancelled() && is_joined()) return completed_at_once(caller, scope.home());
        return write_waiter::begin(caller, scope);
    }

  private:
    std::size_t size() const noexcept override {
        std::size_t total = 0;
        if constexpr (std::is_same_v<Payload, byte_spans>) {
            for (const byte_span piece : payload_) total += piece.size();
        } else {
            total = bytes_of(payload_).size();
        }
        return total;
    }
    buffered_message* make() override {
        if constexpr (std::is_same_v<Payload, byte_span> || std::is_same_v<Payload, byte_spans>) {
            return buffered_message::copy_of(payload_, room_behind());
        } else {
            if constexpr (std::is_same_v<Payload, buffer>) {
                if (is_copied()) {
                    buffered_message* const copy =
                        buffered_message::copy_of(byte_span(payload_.bytes()), room_behind());
                    payload_.reset();
                    return copy;
                }
            }
            return buffered_message::holding(std::move(payload_));
        }
    }
    // To the message before it: the common case of bursts, in few instructions.
    bool is_joined() noexcept {
        if constexpr (std::is_same_v<Payload, byte_span>) return joined(payload_);
        if constexpr (std::is_same_v<Payload, buffer>) {
            if (!is_copied() || !joined(payload_.bytes())) return false;
            payload_.reset();
            return true;
        }
        return false;
    }
    // A block that holds little goes home at once: a queue keeps no more memory than twice what it counts.
    bool is_copied() const noexcept
        requires std::is_same_v<Payload, buffer>
    {
        return payload_.size() < worth_a_block;
    }

    static constexpr std::size_t worth_a_block = 2048; // bytes
    Payload payload_;
};

} // namespace chainring
