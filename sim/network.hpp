// What the machines of a simulated world have in common: addresses, and traffic.
//
//     sim::network net(world);
//     net.set_latency({.least = 1ms, .most = 20ms});
//
// A world has several machines where their kernels say which one each belongs to (`simulated_kernel`). Otherwise all addresses
// are those of one machine, and nobody needs to set them up.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/sim/datagram_wire.hpp>
#include <chainring/sim/latency.hpp>
#include <chainring/sim/socket.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace chainring::sim {

class world;

// Where a socket is.
struct machine {
    unsigned number = 0; // 0: the only one, which has all addresses
    address at;
};

struct found_socket {
    std::shared_ptr<socket> bound; // nullptr: there is none, because of `error`
    int error = 0;
};

class network {
  public:
    explicit network(world& within)
        : world_(within)
        , wire_(std::make_shared<datagram_wire>(*this)) {}
    network(const network&) = delete;
    network& operator=(const network&) = delete;

    world& within() noexcept { return world_; }

    // That of a numeric address, which is new or was there before.
    const machine& machine_at(const std::string& host);
    const machine& only_machine() const noexcept { return only_; }

    // Addresses. `chosen` is the one with the port that a port of 0 has become.
    int bind(socket& binding, const address& at, address& chosen);
    void unbind(socket& bound);
    // Without a port: from where that machine sends there.
    static address source(const machine& on, const address& to);
    // One after the other, as of net.ipv4.ip_local_port_range; a port may be in use still.
    std::uint16_t ephemeral_port() noexcept {
        return next_port_ = next_port_ == last_port ? first_port : next_port_ + 1;
    }
    // For a socket on `from`. Among those of the type, except that a file has a socket of one type only.
    found_socket bound_at(const machine& from, const address& at, int type) const;
    file_identity identify_file(const machine& on, const std::string& path) const;
    int remove_file(const machine& on, const std::string& path);

    // A host that is cut off neither sends nor receives; nor do two hosts to each other. There may be several reasons. In a
    // network of machines, each throws std::invalid_argument if none has the address.
    void isolate(const address& host) {
        check_is_there(host);
        cuts_.insert({host.host_key(), {}});
    }
    void reconnect(const address& host) { cuts_.erase(cuts_.find({host.host_key(), {}})); }
    void separate(const address& one, const address& other);
    void rejoin(const address& one, const address& other) { cuts_.erase(cuts_.find(pair_of(one, other))); }
    bool connects(const address& one, const address& other) const {
        return cuts_.empty() || !is_cut(one, other);
    }

    // Between all hosts, from here on. A connection needs the way there and back.
    // Throws std::invalid_argument if the least is more than the most.
    void set_latency(const latency& each_way);
    duration draw_latency(const address& from, const address& to);

    // Something is on its way there.
    void expect_arrival(const std::shared_ptr<traveller>& at);
    void expect_arrival(socket& at) { expect_arrival({at.shared_from_this(), &at}); }
    datagram_wire& wire() noexcept { return *wire_; }
    const std::shared_ptr<datagram_wire>& shared_wire() const noexcept { return wire_; }
    // What can arrive now; numbers below that can be given to `arrive`.
    std::size_t arrivals();
    void arrive(std::size_t which);
    // When something else can; time_point::max(): nothing.
    time_point next_arrival() const;

  private:
    struct path_entry {
        std::uint64_t number;
        socket* bound; // nullptr: closed
    };
    using name = std::pair<unsigned, std::string>; // the machine, and what is its own there
    using host_pair = std::pair<std::string, std::string>;

    address free_port(const socket& binding, const address& at);
    void check_is_there(const address& host) const;
    static host_pair pair_of(const address& one, const address& other);
    bool is_cut(const address& one, const address& other) const;

    world& world_;
    machine only_;
    std::map<std::string, machine> machines_;
    std::map<std::tuple<int, unsigned, std::string>, socket*> bound_; // by type, machine and address
    std::map<name, path_entry> paths_;
    std::uint64_t next_file_ = 1;
    static constexpr std::uint16_t first_port = 32'768;
    static constexpr std::uint16_t last_port = 60'999;

    std::uint16_t next_port_ = last_port;
    std::uint32_t next_name_ = 1;
    std::vector<std::weak_ptr<traveller>> arriving_;
    std::multiset<host_pair> cuts_; // of one host from all others: with an empty second
    latency latency_;
    bool may_wait_ = false; // arrivals may have to
    std::shared_ptr<datagram_wire> wire_;
};

} // namespace chainring::sim
