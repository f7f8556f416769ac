// Two hosts that do not reach each other for a while, although others reach both: what is on its way between them arrives afterwards,
// connects wait, and UDP datagrams are lost.
//
//     {
//         const sim::partition cut(play.traffic(), "10.0.0.1", "10.0.0.2");
//         play.run_for(5s);
//     } // they do again
#pragma once

#include <chainring/sim/network.hpp>

#include <string>

namespace chainring::sim {

class partition {
  public:
    // Numeric addresses.
    partition(network& in, const std::string& one, const std::string& other)
        : network_(in)
        , one_(address::of_host(one))
        , other_(address::of_host(other)) {
        network_.separate(one_, other_);
    }
    ~partition() { network_.rejoin(one_, other_); }
    partition(const partition&) = delete;
    partition& operator=(const partition&) = delete;

  private:
    network& network_;
    address one_;
    address other_;
};

} // namespace chainring::sim
