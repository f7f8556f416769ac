// A msghdr for a datagram, with the memory that it names.
#pragma once

#include "datagrams.hpp"
#include "runtime/steps.hpp"

#include <array>
#include <tuple>

namespace chainring::test {

// Two pieces of four bytes and of `second`, and room for control messages.
class pieces_of_memory {
  public:
    explicit pieces_of_memory(std::size_t second, std::size_t control = 256)
        : second_(second) {
        pieces_[0] = {first_.data(), first_.size()};
        pieces_[1] = {second_.data(), second_.size()};
        header.msg_iov = pieces_.data();
        header.msg_iovlen = pieces_.size();
        header.msg_name = &name_;
        header.msg_namelen = sizeof name_;
        header.msg_control = control_.data();
        header.msg_controllen = control;
    }
    pieces_of_memory(pieces_of_memory&&) = delete;

    std::string text(std::size_t size) const {
        const std::string all =
            std::string(first_.data(), first_.size()) + std::string(second_.data(), second_.size());
        return all.substr(0, size);
    }
    endpoint from() const {
        return endpoint::from_native(reinterpret_cast<const sockaddr*>(&name_), header.msg_namelen);
    }
    bool truncated() const { return (header.msg_flags & MSG_TRUNC) != 0; }
    bool control_truncated() const { return (header.msg_flags & MSG_CTRUNC) != 0; }
    std::size_t messages() const {
        std::size_t count = 0;
        control_messages(header).for_each([&count](const control_message&) { return ++count != 0; });
        return count;
    }

    // Of each control message its level, type and length; what they tell differs.
    std::vector<std::tuple<int, int, std::size_t>> shape() const {
        std::vector<std::tuple<int, int, std::size_t>> all;
        control_messages(header).for_each([&all](const control_message& each) {
            all.emplace_back(each.level, each.type, each.data.size());
            return true;
        });
        return all;
    }

    msghdr header{};

  private:
    std::array<char, 4> first_{};
    std::vector<char> second_;
    std::array<iovec, 2> pieces_{};
    sockaddr_un name_{};
    alignas(cmsghdr) std::array<std::byte, 256> control_{};
};

// The kernel's receive is armed from here on, and what is received into memory comes from a block.
template <class Socket> task<> arm(Socket& receiver, Socket& sender) {
    must(co_await sender.send_to(must(receiver.local()), "to arm"));
    const datagram first = must(co_await receiver.receive());
    CHECK(first.text() == "to arm");
}

} // namespace chainring::test
