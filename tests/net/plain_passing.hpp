// What there is to pass, and plain unix sockets that descriptors pass to and from. On Linux.
#pragma once

#include "plain_socket.hpp"

#include <chainring/runtime/owned_descriptor.hpp>

#include <fcntl.h>

#include <span>
#include <vector>

namespace chainring::test {

struct pipe_to_pass {
    owned_descriptor reading;
    owned_descriptor writing;
};
inline pipe_to_pass made_pipe() {
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    return {owned_descriptor(ends[0]), owned_descriptor(ends[1])};
}

inline std::span<std::byte> bytes_of_memory(std::span<char> memory) {
    return std::as_writable_bytes(memory);
}

inline bool send_plainly(const plain_socket& to, int descriptor, char byte) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec memory{&byte, 1};
    msghdr header{};
    header.msg_iov = &memory;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = CMSG_LEN(sizeof descriptor);
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    return ::sendmsg(to.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

// How many come with what is there now; they are closed.
inline int descriptors_read_now(const plain_socket& from) {
    constexpr std::size_t most = 32;
    int found = 0;
    for (;;) {
        std::array<char, 65'536> bytes;
        alignas(cmsghdr) std::array<char, CMSG_SPACE(most * sizeof(int))> control{};
        iovec memory{bytes.data(), bytes.size()};
        msghdr header{};
        header.msg_iov = &memory;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        if (::recvmsg(from.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0) return found;
        const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        if (rights == nullptr) continue;
        for (std::size_t at = 0; at < rights->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(rights) + at, sizeof descriptor);
            ::close(descriptor);
            ++found;
        }
    }
}

} // namespace chainring::test
