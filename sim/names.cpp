#include <chainring/sim/names.hpp>

#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace chainring::sim {

namespace {

// NOLINTBEGIN(readability-identifier-naming)
#define NAMED(constant) {static_cast<unsigned>(constant), #constant}

constexpr named_bit all_sqe_flags[] = {NAMED(IOSQE_FIXED_FILE),      NAMED(IOSQE_IO_DRAIN),
                                       NAMED(IOSQE_IO_LINK),         NAMED(IOSQE_IO_HARDLINK),
                                       NAMED(IOSQE_ASYNC),           NAMED(IOSQE_BUFFER_SELECT),
                                       NAMED(IOSQE_CQE_SKIP_SUCCESS)};

constexpr named_bit all_message_flags[] = {
    NAMED(MSG_OOB),      NAMED(MSG_PEEK),     NAMED(MSG_DONTROUTE),   NAMED(MSG_CTRUNC),   NAMED(MSG_TRUNC),
    NAMED(MSG_EOR),      NAMED(MSG_WAITALL),  NAMED(MSG_CONFIRM),     NAMED(MSG_ERRQUEUE), NAMED(MSG_MORE),
    NAMED(MSG_ZEROCOPY), NAMED(MSG_FASTOPEN), NAMED(MSG_CMSG_CLOEXEC)};

constexpr named_bit all_message_modes[] = {
    NAMED(IORING_RECVSEND_POLL_FIRST), NAMED(IORING_RECV_MULTISHOT), NAMED(IORING_RECVSEND_FIXED_BUF),
    NAMED(IORING_SEND_ZC_REPORT_USAGE), NAMED(IORING_RECVSEND_BUNDLE)};

constexpr named_bit all_accept_modes[] = {
    NAMED(IORING_ACCEPT_MULTISHOT), NAMED(IORING_ACCEPT_DONTWAIT), NAMED(IORING_ACCEPT_POLL_FIRST)};

constexpr named_bit all_cancel_flags[] = {
    NAMED(IORING_ASYNC_CANCEL_ALL),      NAMED(IORING_ASYNC_CANCEL_FD),       NAMED(IORING_ASYNC_CANCEL_ANY),
    NAMED(IORING_ASYNC_CANCEL_FD_FIXED), NAMED(IORING_ASYNC_CANCEL_USERDATA), NAMED(IORING_ASYNC_CANCEL_OP)};

constexpr named_bit all_poll_events[] = {NAMED(POLLIN), NAMED(POLLPRI), NAMED(POLLRDHUP)};

constexpr named_bit all_poll_modes[] = {
    NAMED(IORING_POLL_ADD_MULTI), NAMED(IORING_POLL_UPDATE_EVENTS), NAMED(IORING_POLL_UPDATE_USER_DATA),
    NAMED(IORING_POLL_ADD_LEVEL)};

struct named_option {
    int level;
    int option;
    const char* name;
};

#define OPTION(level, constant) {level, constant, #constant}

constexpr named_option all_options[] = {
    OPTION(SOL_SOCKET, SO_BROADCAST),    OPTION(SOL_SOCKET, SO_BUSY_POLL),
    OPTION(SOL_SOCKET, SO_DONTROUTE),    OPTION(SOL_SOCKET, SO_INCOMING_CPU),
    OPTION(SOL_SOCKET, SO_MARK),         OPTION(SOL_SOCKET, SO_OOBINLINE),
    OPTION(SOL_SOCKET, SO_PASSCRED),     OPTION(SOL_SOCKET, SO_PEERCRED),
    OPTION(SOL_SOCKET, SO_PRIORITY),     OPTION(SOL_SOCKET, SO_PROTOCOL),
    OPTION(SOL_SOCKET, SO_RCVLOWAT),     OPTION(SOL_SOCKET, SO_RCVTIMEO),
    OPTION(SOL_SOCKET, SO_REUSEPORT),    OPTION(SOL_SOCKET, SO_SNDTIMEO),
    OPTION(SOL_SOCKET, SO_TIMESTAMP),    OPTION(SOL_SOCKET, SO_TIMESTAMPNS),
    OPTION(SOL_SOCKET, SO_ZEROCOPY),     OPTION(SOL_SOCKET, SO_ACCEPTCONN),
    OPTION(SOL_SOCKET, SO_BINDTODEVICE), OPTION(SOL_SOCKET, SO_LINGER),
    OPTION(SOL_SOCKET, SO_KEEPALIVE),    OPTION(IPPROTO_TCP, TCP_CORK),
    OPTION(IPPROTO_TCP, TCP_INFO),       OPTION(IPPROTO_TCP, TCP_KEEPCNT),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE),   OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
    OPTION(IPPROTO_TCP, TCP_QUICKACK),   OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
    OPTION(IPPROTO_TCP, TCP_NODELAY),    OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT),
    OPTION(IPPROTO_IP, IP_TOS),          OPTION(IPPROTO_IP, IP_TTL),
    OPTION(IPPROTO_IP, IP_PKTINFO),      OPTION(IPPROTO_IP, IP_RECVTOS),
    OPTION(SOL_SOCKET, SO_RXQ_OVFL),     OPTION(SOL_SOCKET, SO_TIMESTAMPING),
    OPTION(IPPROTO_IPV6, IPV6_V6ONLY)};

#undef OPTION
#undef NAMED
// NOLINTEND(readability-identifier-naming)

} // namespace

constinit const std::span<const named_bit> sqe_flags = all_sqe_flags;
constinit const std::span<const named_bit> message_flags = all_message_flags;
constinit const std::span<const named_bit> message_modes = all_message_modes;
constinit const std::span<const named_bit> accept_modes = all_accept_modes;
constinit const std::span<const named_bit> cancel_flags = all_cancel_flags;
constinit const std::span<const named_bit> poll_events = all_poll_events;
constinit const std::span<const named_bit> poll_modes = all_poll_modes;

std::string names_of(unsigned bits, std::span<const named_bit> names) {
    std::string text;
    const auto add = [&text](const std::string& name) { text += (text.empty() ? "" : ", ") + name; };
    for (const named_bit& each : names) {
        if ((bits & each.bit) == 0) continue;
        add(each.name);
        bits &= ~each.bit;
    }
    if (bits != 0) add(std::to_string(bits));
    return text;
}

std::string option_name(int level, int option) {
    for (const named_option& each : all_options)
        if (each.level == level && each.option == option) return each.name;
    return "option " + std::to_string(option) + " of level " + std::to_string(level);
}

} // namespace chainring::sim
