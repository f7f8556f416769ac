// connection: a connected stream socket's state, which outlives the handle that users hold until the close is
// complete.
#pragma once

#include <chainring/net/connection_count.hpp>
#include <chainring/net/far_end.hpp>
#include <chainring/net/receiver.hpp>
#include <chainring/net/sender.hpp>

namespace chainring {

class connection final : public socket {
  public:
    // `type`: SOCK_STREAM or SOCK_SEQPACKET.
    connection(
        executor& home, file_handle file, int type, counted_connection counted = {},
        direct_place place = {}) noexcept
        : socket(home, file)
        , receiver_(*this, framing_of(type))
        , sender_(*this, framing_of(type))
        , counted_(std::move(counted))
        , place_(std::move(place)) {}

    receiver& receiving() noexcept { return receiver_; }
    sender& sending() noexcept { return sender_; }

    // The peer sees the end of the stream. Everything that was queued has been sent.
    result<void> end_sending() noexcept;

    // For an outgoing connection.
    void connect(const endpoint& to, connector& waiting) noexcept;
    void cancel_connect() noexcept { home().request_cancel(far_end_.operation()); }
    void leave(connector& waiting) noexcept { far_end_.leave(waiting); }
    // What a release hands over, when all operations have ended.
    std::vector<buffer> take_received() { return receiver_.take_all(); }
    std::vector<std::vector<std::byte>> take_unsent();
    fault why_broken() const noexcept;

    // An accepted connection asks who it is connected to; a direct one cannot.
    void learn_peer() noexcept;
    // It is connected, to that.
    void connected_to(const sockaddr* peer) noexcept { far_end_.is(peer); }

  private:
    static framing framing_of(int type) noexcept {
        return type == SOCK_STREAM ? framing::bytes : framing::records;
    }

    // A handle may outlive the executor; the close has emptied the queues.
    ~connection() override = default;

    void completed(const io_uring_cqe& cqe) noexcept override;
    void submit_pending() noexcept override {
        sender_.at_turn_end();
        receiver_.at_turn_end();
    }
    void drain(last_messages sent) noexcept override {
        receiver_.close(sender_.why_closed()); // what still arrives is thrown away
        sender_.drain(sent == last_messages::all);
    }
    bool drained() noexcept override { return sender_.drained(); }
    fault drain_failure() noexcept override { return sender_.failure(); }
    void prepare_release() noexcept override {
        receiver_.stop(sender_.why_closed());
        sender_.drain(true);
    }
    fault why_closed() const noexcept override { return sender_.why_closed(); }
    bool linger() noexcept override;
    bool lingered() noexcept override { return receiver_.peer_ended(); }
    void closing() noexcept override;
    void cancel_in_flight() noexcept override;
    void let_go() noexcept override {
        sender_.let_go();
        counted_.end();
        place_.end();
    }
    bool consistent() const noexcept override { return sender_.consistent(); }
    void count_queued(holdings& total) const noexcept override {
        sender_.count(total);
        receiver_.count(total);
    }

    receiver receiver_;
    sender sender_;
    counted_connection counted_;
    direct_place place_;
    far_end far_end_;
};

} // namespace chainring
