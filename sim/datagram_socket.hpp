// Virtual sockets of datagrams. Each has a queue of what it has received; a datagram goes whole or not at all.
#pragma once

#include <chainring/sim/socket.hpp>

#include <deque>
#include <vector>

namespace chainring::sim {

class datagram_socket : public socket {
  public:
    using socket::socket;

    bool connected() const noexcept override { return connected_; }
    int shutdown(int how) override;
    int receive(void* target, std::size_t size, int flags, std::size_t most) override;
    arrived_message receive_message(void* target, std::size_t size, int flags) override;
    std::size_t received() const noexcept override {
        return queue_.empty() ? 0 : queue_.front().bytes.size();
    }
    unsigned events() const noexcept override;

  protected:
    struct datagram {
        std::string bytes;
        std::weak_ptr<socket> from; // nobody, if its buffer does not count the bytes any more
        address sender;             // none, if it has none

        // What the kernel counts of it.
        std::size_t counted() const noexcept { return bytes.size() + overhead; }
    };
    static constexpr std::size_t overhead = 256;

    void set_connected(bool connected) noexcept { connected_ = connected; }
    bool sending_ended() const noexcept { return sending_ended_; }
    bool receiving_ended() const noexcept { return receiving_ended_; }
    std::size_t waiting() const noexcept { return queue_.size(); }
    std::size_t counted() const noexcept { return counted_; }
    void push(datagram added);
    datagram pop();
    // A datagram has left the queue.
    virtual void made_room(const datagram&) {}

  private:
    std::deque<datagram> queue_;
    std::size_t counted_ = 0; // bytes of the queue
    bool connected_ = false;
    bool receiving_ended_ = false; // RCV_SHUTDOWN
    bool sending_ended_ = false;   // SEND_SHUTDOWN
};

// UDP. A datagram may be lost, or overtaken by others, and one that finds no room at its receiver is dropped. One that
// finds nobody is reported to its sender, at its next send or receive.
class udp_socket final : public datagram_socket {
  public:
    using datagram_socket::datagram_socket;

    int connect(const address& to) override;
    int shutdown(int how) override;
    int send(std::span<const iovec> pieces, std::size_t skip, std::size_t most) override;
    int send_to(std::span<const iovec> pieces, std::size_t most, const address& to) override;

    // A connected socket takes those of its peer only. False: it is not for this one.
    bool take(const address& from, std::string bytes);
    // Nobody was there.
    void was_refused(const address& by);

  private:
    bool writable() const noexcept override { return true; } // the network takes what it is given
    std::size_t longest() const noexcept {
        return family() == AF_INET ? 65'507 : 65'527;
    } // bytes; the headers count too
};

// Unix datagrams arrive, all of them and in order. Who finds the receiver's queue full waits until it has read.
class unix_datagram_socket final : public datagram_socket {
  public:
    using datagram_socket::datagram_socket;
    ~unix_datagram_socket() override;

    int connect(const address& to) override;
    int send(std::span<const iovec> pieces, std::size_t skip, std::size_t most) override;
    int send_to(std::span<const iovec> pieces, std::size_t most, const address& to) override;
    void expect_room() noexcept override;

  private:
    bool writable() const noexcept override;
    void made_room(const datagram& gone) override;
    bool takes_from(const unix_datagram_socket& sender) const noexcept;
    bool is_full_for(const unix_datagram_socket& sender) const noexcept;
    int send_to(unix_datagram_socket& receiver, std::span<const iovec> pieces, std::size_t most);
    void leave_peer();
    void purge();
    void wake_waiting();

    static constexpr std::size_t least_overhead = 32; // bytes of the send buffer

    std::weak_ptr<unix_datagram_socket> peer_;
    std::size_t in_queues_ = 0; // bytes that it has sent and nobody has received
    std::vector<std::weak_ptr<unix_datagram_socket>> waiting_; // for room in the queue
};

} // namespace chainring::sim
