// The way between UDP sockets: what is on it outlives its sender, and may get lost or be overtaken.
#pragma once

#include <chainring/sim/datagram_socket.hpp>

namespace chainring::sim {

class datagram_wire final : public traveller {
  public:
    explicit datagram_wire(network& of)
        : network_(of) {}

    void carry(udp_socket& sender, const address& to, std::string bytes);

    bool has_arrivals() const noexcept override { return !carried_.empty(); }
    bool may_arrive() const override;
    void arrive() override;
    time_point next_arrival() const override;

  private:
    struct flight {
        std::weak_ptr<udp_socket> sender;
        const machine* machine_of_sender;
        time_point due;
        address from;
        address to;
        std::string bytes;

        bool follows(const flight& other) const {
            return from.key() == other.from.key() && to.key() == other.to.key();
        }
    };

    void deliver(flight arrived);

    network& network_;
    std::vector<flight> carried_;
};

} // namespace chainring::sim
