// What a task awaits on a datagram socket.
#pragma once

#include <chainring/net/datagram_envelope.hpp>
#include <chainring/net/datagram_payload.hpp>
#include <chainring/net/datagram_receiver.hpp>
#include <chainring/net/send_operation.hpp>
#include <chainring/net/write_operation.hpp>

#include <cerrno>

namespace chainring {

class [[nodiscard("co_await it")]] datagram_receive_operation
    : public operation<datagram_receive_operation, datagram_receiver::reader> {
  public:
    explicit datagram_receive_operation(datagram_receiver* from) noexcept
        : operation(from) {}
    datagram_receive_operation(datagram_receive_operation&&) = default;

    bool start(executor&) noexcept;
    void refuse(fault error) noexcept {
        from_ = nullptr;
        error_ = error;
    }
    void cancel() noexcept override { from_->dismiss(*this, errc::cancelled); }
    // For until_shutdown.
    using stopped_alone = datagram_receive_operation;
    bool has_arrived() const noexcept { return from_ != nullptr && from_->has_arrived(); }
    void stop_unless_arrived() noexcept {
        if (from_ != nullptr && !from_->has_arrived()) cancel();
    }
    void describe(task_tree& to) const override { to.waits("receive on", from_->socket_name()); }
    result<datagram> await_resume() {
        if (error_) [[unlikely]]
            return failure(error_);
        return from_->take(*this);
    }
};

// What receives into a msghdr: by a recvmsg of its own, or out of the block in which the receive that is armed brings it.
class msghdr_reader : public datagram_receiver::reader {
  public:
    void refuse(fault error) noexcept {
        from_ = nullptr;
        error_ = error;
    }
    void cancel() noexcept override;
    bool has_arrived() const noexcept { return from_ != nullptr && from_->has_arrived(); }
    void describe(task_tree& to) const override { to.waits("receive on", from_->socket_name()); }

  protected:
    explicit msghdr_reader(datagram_receiver* from) noexcept
        : reader(from) {}
    msghdr_reader(msghdr_reader&&) = default;
    ~msghdr_reader() = default;

    // False: it has completed.
    bool receive(msghdr& target, executor& home) noexcept;
    // It is filled, as recvmsg(2) fills it. The value is the bytes that are in its pieces.
    result<std::size_t> finish();
    std::size_t sent_size() const noexcept { return sent_size_; } // after that
    // For the destructor of whoever has the memory.
    void end_unless_finished() noexcept;

    executor* home_ = nullptr;

  private:
    void received_directly(int result) noexcept override {
        if (result >= 0) sent_size_ = static_cast<std::size_t>(result);
    }
    void receive_again() noexcept override;
    void close_descriptors() noexcept;

    msghdr* target_ = nullptr;
    socklen_t name_room_ = 0;
    std::size_t control_room_ = 0;
    std::size_t sent_size_ = 0;
    bool direct_ = false; // it has an operation of its own, of whose end its task has not been told
};

class [[nodiscard("co_await it")]] datagram_receive_msghdr_operation
    : public operation<datagram_receive_msghdr_operation, msghdr_reader> {
  public:
    datagram_receive_msghdr_operation(datagram_receiver* from, msghdr& target) noexcept
        : operation(from)
        , target_(target) {}
    datagram_receive_msghdr_operation(datagram_receive_msghdr_operation&&) = default;
    ~datagram_receive_msghdr_operation() { end_unless_finished(); }

    bool start(executor& home) noexcept { return receive(target_, home); }
    result<std::size_t> await_resume() { return finish(); }

  private:
    msghdr& target_;
};

class [[nodiscard("co_await it")]] datagram_receive_into_operation
    : public operation<datagram_receive_into_operation, msghdr_reader> {
  public:
    datagram_receive_into_operation(datagram_receiver* from, std::span<std::byte> target) noexcept
        : operation(from) {
        received_.payload = target;
    }
    datagram_receive_into_operation(datagram_receive_into_operation&&) = default;
    ~datagram_receive_into_operation() { end_unless_finished(); }

    bool start(executor& home);
    result<placed_datagram> await_resume();

  private:
    iovec memory_{};
    msghdr header_{};
    sockaddr_un name_{}; // an internet address is no longer
    unsigned most_descriptors_ = 0;
    placed_datagram received_;
};

// A datagram whose sender waits until the batch that carried it is complete.
class [[nodiscard("co_await it")]] datagram_send_operation : public send_waiter {
  public:
    datagram_send_operation(sender* to, datagram_payload&& payload, datagram_envelope&& envelope) noexcept
        : send_waiter(to)
        , payload_(std::move(payload))
        , envelope_(std::move(envelope)) {}
    datagram_send_operation(datagram_send_operation&&) = default;
    ~datagram_send_operation() {
        if (queued() && !to_->withdraw(*this)) to_->abandon(*this);
    }

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    bool begin(wait_site& caller, cancel_scope& scope) {
        if (to_ != nullptr && !envelope_.fits() && !scope.cancelled()) [[unlikely]] {
            refuse(fault::from_errno(EINVAL));
            return completed_at_once(caller, scope.home());
        }
        // Here, because a short string takes its bytes along when it moves.
        payload_.visit_bytes([this](const auto& bytes) { set_bytes(bytes); });
        if (!envelope_.empty()) set_with_envelope();
        return send_waiter::begin(caller, scope);
    }
    result<std::size_t> await_resume() noexcept {
        payload_.reset(); // before the coroutine goes on, not when the expression ends
        return outcome();
    }

  private:
    std::span<std::byte> control() noexcept override { return envelope_.control(); }
    const endpoint* destination() const noexcept override { return envelope_.destination(); }

    datagram_payload payload_;
    datagram_envelope envelope_;
};

class [[nodiscard("co_await it")]] datagram_write_operation : public write_waiter {
  public:
    datagram_write_operation(sender* to, datagram_payload&& payload, datagram_envelope&& envelope) noexcept
        : write_waiter(to)
        , payload_(std::move(payload))
        , envelope_(std::move(envelope)) {}
    datagram_write_operation(datagram_write_operation&&) = default;

    template <class Promise>
    bool await_suspend(
        std::coroutine_handle<Promise> caller, std::source_location where = std::source_location::current()) {
        return begin(caller.promise().site().at(caller, where), caller.promise().scope());
    }
    bool begin(wait_site& caller, cancel_scope& scope) {
        if (to_ != nullptr && !envelope_.fits() && !scope.cancelled()) [[unlikely]] {
            refuse(fault::from_errno(EINVAL));
            return completed_at_once(caller, scope.home());
        }
        return write_waiter::begin(caller, scope);
    }

  private:
    std::size_t size() const noexcept override { return payload_.size(); }
    buffered_message* make() override;

    datagram_payload payload_;
    datagram_envelope envelope_;
};

} // namespace chainring
