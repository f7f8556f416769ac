// A host that is cut off for a while: what is on its way to it or from it arrives afterwards, connects to it wait, and
// UDP datagrams are lost.
//
//     {
//         const sim::isolated_host lost(kernel, "10.0.0.1");
//         co_await sleep(5s);
//     } // there it is again
#pragma once

#include <chainring/sim/simulated_kernel.hpp>

#include <string>

namespace chainring::sim {

class isolated_host {
  public:
    // A numeric address. Every address is a host of its own, which nobody needs to set up.
    isolated_host(simulated_kernel& in, const std::string& host)
        : isolated_host(in.traffic(), host) {}
    isolated_host(network& in, const std::string& host)
        : network_(in)
        , host_(address::of_host(host)) {
        network_.isolate(host_);
    }
    ~isolated_host() { network_.reconnect(host_); }
    isolated_host(const isolated_host&) = delete;
    isolated_host& operator=(const isolated_host&) = delete;

  private:
    network& network_;
    address host_;
};

} // namespace chainring::sim
