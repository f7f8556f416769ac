// The descriptors, the addresses and the traffic of a simulated machine.
#pragma once

#include <chainring/runtime/kernel.hpp>
#include <chainring/sim/socket.hpp>

#include <map>
#include <memory>
#include <vector>

namespace chainring::sim {

class world;

struct found_listener {
    std::shared_ptr<socket> listener; // nullptr: there is none, because of `error`
    int error = 0;
};

class network {
  public:
    explicit network(world& within)
        : world_(within) {}
    ~network();
    network(const network&) = delete;
    network& operator=(const network&) = delete;

    world& within() noexcept { return world_; }

    // Descriptors. The lowest free number is the next one; -EMFILE when there are as many as there may be.
    int add(std::shared_ptr<file> opened);
    std::shared_ptr<file> find(int descriptor) const;
    bool has_room() const noexcept { return open_ < most_open_; }
    int close(int descriptor);
    void set_most_open(std::size_t most) noexcept { most_open_ = most; }
    std::size_t open() const noexcept { return open_; }
    void forbid_close_in_flight() noexcept { close_in_flight_forbidden_ = true; }
    bool close_in_flight_forbidden() const noexcept { return close_in_flight_forbidden_; }

    // Addresses. `chosen` is the one with the port that a port of 0 has become.
    int bind(socket& binding, const address& at, address& chosen);
    void unbind(socket& bound);
    std::uint16_t ephemeral_port() noexcept { return next_port_++; }
    found_listener listener_at(const address& at) const;
    // A connect to it need not wait, be it because it fails.
    bool may_connect(const address& to) const;
    file_identity identify_file(const std::string& path) const;
    int remove_file(const std::string& path);

    // Sockets that something is on its way to.
    void expect_arrival(socket& at);
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
    bool close_in_flight_forbidden_ = false;
    std::map<std::string, socket*> bound_;
    std::map<std::string, path_entry> paths_;
    std::uint64_t next_file_ = 1;
    std::uint16_t next_port_ = 32'768;
    std::vector<std::weak_ptr<socket>> arriving_;
};

} // namespace chainring::sim
