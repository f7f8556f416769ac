// A virtual socket of connections: TCP over IPv4 or IPv6, or a unix socket of streams or of records.
//
// What one end sends lies in the other end's inbound queue. Of TCP it arrives there when the world decides so
// (`arrive`), and the end of the stream and a reset travel on their own; unix sockets are one piece of memory, where
// everything is there at once.
#pragma once

#include <chainring/sim/byte_queue.hpp>
#include <chainring/sim/socket.hpp>

#include <algorithm>
#include <deque>
#include <optional>

namespace chainring::sim {

class connection_socket final : public socket {
  public:
    using socket::socket;
    ~connection_socket() override;

    bool connected() const noexcept override { return state_ == state::connected; }
    bool listening() const noexcept override { return state_ == state::listening; }
    int listen(int backlog) override;
    int connect(const address& to) override;
    bool may_connect(const address& to) const override;
    void give_up_connect() noexcept override { state_ = state::gave_up; }
    int may_accept() const override;
    std::shared_ptr<socket> accept() override;
    int shutdown(int how) override;
    void vanish() noexcept override;

    int send(std::span<const iovec> pieces, std::size_t skip, std::size_t most) override;
    int receive(void* target, std::size_t size, int flags, std::size_t most) override;
    std::size_t received() const noexcept override;
    unsigned events() const noexcept override;

    // What has been sent by now, for who must know when the network no longer needs the memory it came from.
    struct sent_bytes {
        std::weak_ptr<connection_socket> receiver;
        std::uint64_t end = 0; // counted from the beginning of the connection

        bool let_go() const noexcept;
    };
    sent_bytes sent_by_now() const;

    bool has_arrivals() const noexcept override;
    bool may_arrive() const override;
    void arrive() override;
    time_point next_arrival() const override;

  private:
    enum class state { fresh, listening, connected, gave_up };

    // What the other end has sent. Of the bytes the first `arrived` can be received.
    struct inbound {
        byte_queue bytes;
        std::size_t arrived = 0;
        std::uint64_t sent = 0; // bytes, in all
        std::deque<std::string> records;
        std::size_t size_of_records = 0;
        bool end_sent = false;
        bool end_arrived = false;
        bool reset_sent = false;
        bool reset_arrived = false;

        // Where there is latency: what arrives when, in order.
        struct segment {
            std::uint64_t begin; // counted as `sent`
            time_point due;
        };
        std::deque<segment> segments;
        time_point end_due{};
        time_point reset_due{};

        std::size_t used() const noexcept { return bytes.size() + size_of_records; }
        std::size_t on_the_way() const noexcept { return bytes.size() - arrived; }
        bool end_on_the_way() const noexcept { return end_sent && !end_arrived; }
        std::size_t due_bytes(time_point now) const noexcept; // of those on the way
        time_point last_due(time_point at_least) const noexcept {
            return segments.empty() ? at_least : std::max(at_least, segments.back().due);
        }
    };

    bool backlog_is_full() const noexcept { return !receiving_ended_ && backlog_.size() >= most_waiting_; }
    bool is_tcp() const noexcept { return is_internet(); }
    std::size_t capacity() const noexcept; // of the way to the peer
    std::size_t room() const noexcept;
    bool writable() const noexcept override;
    int receive_bytes(void* target, std::size_t size, std::size_t most);
    int receive_record(void* target, std::size_t size, int flags);
    int nothing_to_receive() noexcept;
    void made_room();
    time_point arrival_time(const connection_socket& to) const; // of what is sent next, at the earliest
    bool travels(const connection_socket& to) const;
    bool handshake_ends(const address& to);
    time_point now() const noexcept;
    void send_end();
    void send_reset();
    void become_reset();
    void connect_to(connection_socket& server_side, const address& to);
    void close_listener();
    void close_tcp();
    void close_unix();

    state state_ = state::fresh;
    std::weak_ptr<connection_socket> peer_;
    inbound in_;
    std::deque<std::shared_ptr<connection_socket>> backlog_;
    std::size_t most_waiting_ = 0;
    std::optional<time_point> handshake_end_; // of a connect that takes time
    bool slow_ = false;
    bool receiving_ended_ = false; // RCV_SHUTDOWN
    bool sending_ended_ = false;   // SEND_SHUTDOWN
};

} // namespace chainring::sim
