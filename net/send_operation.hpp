// send: a message whose sender waits until the batch that carried it is complete.
#pragma once

#include <chainring/net/sender.hpp>
#include <chainring/net/shared_message.hpp>
#include <chainring/runtime/operation.hpp>

#include <type_traits>

namespace chainring {

// What is the same whatever the message is made of.
class send_waiter : public operation<send_waiter>, protected outgoing_message {
  public:
    bool start(executor&) noexcept {
        error_ = to_ != nullptr ? to_->send(*this) : fault(errc::closed);
        return !error_;
    }
    void refuse(fault error) noexcept { error_ = error; }
    void cancel() noexcept override { to_->cancel(*this); }
    void describe(task_tree& to) const override { to.waits("send on", to_->socket_name()); }

    // Bytes of the message that the kernel took, also when it failed.
    using outgoing_message::sent;

  protected:
    explicit send_waiter(sender* to) noexcept
        : to_(to) {}
    send_waiter(send_waiter&&) = default;
    ~send_waiter() = default;

    bool queued() const noexcept { return list_node<message_tag>::linked(); }
    result<std::size_t> outcome() const noexcept {
        if (error_) [[unlikely]]
            return failure(error_);
        return sent();
    }
    void settled(fault error) noexcept override {
        error_ = error;
        to_->home().ready().push(*this);
    }

    sender* to_;
    fault error_;
};

// Payload: bytes or pieces of the caller's, or something that owns its bytes.
template <class Payload> class [[nodiscard("co_await it")]] send_operation : public send_waiter {
  public:
    send_operation(sender* to, Payload&& payload) noexcept
        : send_waiter(to)
        , payload_(std::move(payload)) {}
    send_operation(send_operation&&) = default;
    ~send_operation() {
        if (queued()) [[unlikely]]
            end();
    }

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    bool begin(wait_site& caller, cancel_scope& scope) {
        set_bytes(bytes_of(payload_)); // here, because a short string takes its bytes along when it moves
        if constexpr (owns_its_bytes<Payload>) set_owned();
        return send_waiter::begin(caller, scope);
    }
    result<std::size_t> await_resume() noexcept {
        // The memory goes home before the coroutine runs on, not when the expression ends.
        if constexpr (std::is_same_v<Payload, buffer>) payload_.reset();
        return outcome();
    }

  private:
    std::shared_ptr<const void> give_up_bytes() override { return given_up(payload_); }

    // The bytes may outlive the sender, and stay where they are when the payload moves.
    static constexpr bool can_be_orphaned = std::is_same_v<Payload, buffer> ||
                                            std::is_same_v<Payload, shared_message> ||
                                            std::is_same_v<Payload, std::vector<std::byte>>;

    // Takes over what the kernel reads from when its sender dies.
    class orphan final : public outgoing_message {
      public:
        explicit orphan(Payload&& payload) noexcept
            : payload_(std::move(payload)) {}
        void settled(fault) noexcept override { delete this; }

      private:
        Payload payload_;
    };

    void end() noexcept {
        if (to_->withdraw(*this)) return;
        if constexpr (can_be_orphaned)
            send_queue::replace(*this, *new orphan(std::move(payload_)));
        else
            to_->abandon(*this);
    }

    Payload payload_;
};

} // namespace chainring
