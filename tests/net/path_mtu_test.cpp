// Datagrams that are longer than the way takes: cut there, or refused where they must not be.
#include "datagrams.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

constexpr int short_mtu = 1500;

// While it lives this thread has a network of its own, in which the loopback interface takes no more than that.
class network_of_its_own {
  public:
    network_of_its_own()
        : others_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
        if (::unshare(CLONE_NEWNET) != 0) return;
        entered_ = true;
        const plain_socket any(calls::socket(AF_INET, SOCK_DGRAM));
        ifreq loopback{};
        std::memcpy(loopback.ifr_name, "lo", sizeof "lo");
        loopback.ifr_mtu = short_mtu;
        REQUIRE(::ioctl(any.get(), SIOCSIFMTU, &loopback) == 0);
        loopback.ifr_flags = IFF_UP;
        REQUIRE(::ioctl(any.get(), SIOCSIFFLAGS, &loopback) == 0);
    }
    network_of_its_own(const network_of_its_own&) = delete;
    network_of_its_own& operator=(const network_of_its_own&) = delete;
    ~network_of_its_own() {
        if (entered_ && ::setns(others_.get(), CLONE_NEWNET) != 0) std::abort();
    }
    bool entered() const { return entered_; }

  private:
    owned_descriptor others_;
    bool entered_ = false;
};

// To a peer, by a way that takes 1500 bytes.
task<> sends_what_fits(udp_socket& sender, udp_socket& receiver) {
    const std::string text = random_text(3000, 1);
    const std::array<path_mtu_discovery, 4> all{
        path_mtu_discovery::fragment, path_mtu_discovery::learn, path_mtu_discovery::dont_fragment,
        path_mtu_discovery::probe};
    for (const path_mtu_discovery each : all) {
        must(sender.set_path_mtu_discovery(each));
        const bool cuts = each == path_mtu_discovery::fragment || each == path_mtu_discovery::learn;
        const auto sent = co_await sender.send(std::string_view(text));
        if (cuts) {
            CHECK(sent == text.size());
            const datagram got = must(co_await receiver.receive());
            CHECK(got.text() == text);
        } else {
            CHECK(error_of(sent) == std::errc::message_size);
        }
        must(co_await sender.send("short"));
        const datagram behind = must(co_await receiver.receive());
        CHECK(behind.text() == "short");
    }
}

} // namespace

TEST_CASE("a_datagram_that_must_not_be_cut_is_refused_where_it_would_be", "[linux]") {
    const network_of_its_own here;
    if (!here.entered()) SKIP("this user may not make a network of his own");
    on_executor(GENERATE(both_modes()), []() -> task<> {
        // By IPv4, by IPv6, and by IPv4 from a socket for both.
        const std::array<std::array<std::string_view, 2>, 3> ways{
            {{"127.0.0.1", "127.0.0.1"}, {"::1", "::1"}, {"127.0.0.1", "::ffff:127.0.0.1"}}};
        for (const auto& [at, to] : ways) {
            udp_socket receiver = must(udp_socket::bind(endpoint(at, 0)));
            udp_socket sender = must(udp_socket::connect(endpoint(to, must(receiver.local()).port())));
            CHECK(must(sender.path_mtu()) == short_mtu);
            co_await sends_what_fits(sender, receiver);
        }
    });
}

// Without a way that is short: of IPv6 a socket may say so itself.
TEST_CASE("a_datagram_that_must_not_be_cut_is_refused_where_its_socket_would_cut_it", "[linux]") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        udp_socket receiver = must(udp_socket::bind({"::1", 0}));
        udp_socket sender = must(udp_socket::connect(must(receiver.local())));
        CHECK(must(sender.path_mtu()) >= short_mtu);
        CHECK(error_of(receiver.path_mtu()) == std::errc::not_connected);
        must(sender.set_option(IPPROTO_IPV6, IPV6_MTU, short_mtu));
        co_await sends_what_fits(sender, receiver);
    });
}
