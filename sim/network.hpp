// The descriptors, the addresses and the traffic of a simulated machine.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/sim/datagram_wire.hpp>
#include <chainring/sim/socket.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace chainring::sim {

class world;

struct found_socket {
    std::shared_ptr<socket> bound; // nullptr: there is none, because of `error`
    int error = 0;
};

class network {
  public:
    explicit network(world& within)
        : world_(within)
        , wire_(std::make_shared<datagram_wire>(*this)) {}
    ~network();
    network(const network&) = delete;
    network& operator=(const network&) = delete;

    world& within() noexcept { return world_; }

    // Descriptors. The lowest free number is the next one; -EMFILE when there are as many as there may be.
    int add(std::shared_ptr<file> opened);
    std::shared_ptr<file> find(int descriptor) const;
    // False also while the world lets the program run short of them.
    bool has_room();
    void entered() noexcept { shortage_ -= shortage_ != 0 ? 1 : 0; }
    int close(int descriptor);
    void set_most_open(std::size_t most) noexcept { most_open_ = most; }
    std::size_t open() const noexcept { return open_; }
    void forbid_close_in_flight() noexcept { close_in_flight_forbidden_ = true; }
    bool close_in_flight_forbidden() const noexcept { return close_in_flight_forbidden_; }

    // Addresses. `chosen` is the one with the port that a port of 0 has become.
    int bind(socket& binding, const address& at, address& chosen);
    void unbind(socket& bound);
    std::uint16_t ephemeral_port() noexcept { return next_port_++; }
    // Among those of the type, except that a file has a socket of one type only.
    found_socket bound_at(const address& at, int type) const;
    file_identity identify_file(const std::string& path) const;
    int remove_file(const std::string& path);

    // A host that is cut off neither sends nor receives, and may be so for several reasons.
    void isolate(const address& host) { isolated_.insert(host.host_key()); }
    void reconnect(const address& host) { isolated_.erase(isolated_.find(host.host_key())); }
    bool reaches(const address& host) const {
        return isolated_.empty() || !isolated_.contains(host.host_key());
    }

    // Something is on its way there.
    void expect_arrival(const std::shared_ptr<traveller>& at);
    void expect_arrival(socket& at) { expect_arrival({at.shared_from_this(), &at}); }
    datagram_wire& wire() noexcept { return *wire_; }
    const std::shared_ptr<datagram_wire>& shared_wire() const noexcept { return wire_; }
    // What can arrive now; numbers below that can be given to `arrive`.
    std::size_t arrivals();
    void arrive(std::size_t which);

  private:
    struct path_entry {
        std::uint64_t number;
        socket* bound; // nullptr: closed
    };

    // No number of a real descriptor: a call that does not come through the seam must fail.
    static constexpr int first_descriptor = 100'000;

    world& world_;
    std::vector<std::shared_ptr<file>> descriptors_;
    std::size_t open_ = 0;
    std::size_t most_open_ = 1024;
    unsigned shortage_ = 0; // enters until there are descriptors again
    bool close_in_flight_forbidden_ = false;
    std::map<std::pair<int, std::string>, socket*> bound_; // by type and address
    std::map<std::string, path_entry> paths_;
    std::uint64_t next_file_ = 1;
    std::uint16_t next_port_ = 32'768;
    std::uint32_t next_name_ = 1;
    std::vector<std::weak_ptr<traveller>> arriving_;
    std::multiset<std::string> isolated_;
    std::shared_ptr<datagram_wire> wire_;
};

} // namespace chainring::sim
