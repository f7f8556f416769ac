// The echo server within a loop around epoll_wait. Try it:  build/samples/embed_epoll --listen 127.0.0.1:7000
#include "embedded_echo.hpp"

#include <chainring/net/embed/epoll.hpp>

#include <span>

namespace cr = chainring;

namespace {

class epoll_set {
  public:
    epoll_set()
        : descriptor_(::epoll_create1(EPOLL_CLOEXEC)) {
        if (descriptor_ < 0) throw std::system_error(cr::from_errno(errno), "epoll_create1");
    }
    ~epoll_set() { ::close(descriptor_); }
    epoll_set(const epoll_set&) = delete;
    epoll_set& operator=(const epoll_set&) = delete;

    int get() const noexcept { return descriptor_; }

  private:
    int descriptor_;
};

cr::ended_task<cr::result<void>> serve_within_epoll(cr::executor& home, const cr::endpoint& at) {
    const epoll_set epoll;
    cr::epoll_embedding embedded(home, epoll.get());
    std::optional<cr::ended_task<cr::result<void>>> served;
    cr::spawn(
        home, serve_any(at), [&served](cr::ended_task<cr::result<void>> end) { served = std::move(end); });
    while (!served) {
        epoll_event events[64];
        const int count = ::epoll_wait(epoll.get(), events, std::size(events), embedded.timeout());
        for (const epoll_event& event : std::span(events, static_cast<std::size_t>(std::max(count, 0)))) {
            if (embedded.takes(event)) continue;
            // Events of the program's own descriptors are handled here.
        }
        embedded.run();
    }
    return *served;
}

} // namespace

int main(int argc, char** argv) {
    return embedded_echo(
        "embed_epoll", "A TCP or unix echo server on chainring, within a loop around epoll_wait", argc, argv,
        serve_within_epoll);
}
