// Answers each request with its own bytes, by a `write` for each: nothing in this code knows of batches, and the
// send queue makes one of all the replies to a chunk. Or sends back what it has received into memory of its own, whatever it holds.
#include "command_line.hpp"
#include "requests.hpp"
#include "serving.hpp"

#include <memory>
#include <span>

namespace cr = chainring;

namespace {

cr::task<> answer(cr::tcp_stream peer, std::size_t size) {
    requests received(size);
    while (auto chunk = co_await peer.receive()) {
        if (chunk->empty()) break; // end of stream
        received.add(chunk->text());
        for (std::string_view request; !(request = received.next()).empty();) {
            const auto written = co_await peer.write(request);
            if (!written) co_return;
        }
    }
}

cr::task<> send_back(cr::tcp_stream peer, std::size_t size) {
    const auto memory = std::make_unique_for_overwrite<std::byte[]>(size);
    const std::span<std::byte> target(memory.get(), size);
    for (;;) {
        const auto received = co_await peer.receive_into(target);
        if (!received || *received == 0) break;
        const auto sent = co_await peer.send(cr::byte_span(target.first(*received)));
        if (!sent) break;
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t size = 64;
    std::size_t own = 0;
    command_line arguments("replies: a server that answers each request by one write");
    arguments.option("--listen", listen, "address and port; port 0 picks a free one");
    arguments.option("--size", size, "bytes of a request").between(1, 1 << 20);
    arguments
        .option(
            "--own", own,
            "bytes of memory of its own that a connection receives into, and sends back; 0: none")
        .between(0, 1 << 20);
    if (const auto status = arguments.parse(argc, argv)) return *status;
    return serving::serve<cr::tcp_stream>("replies", listen, [=](cr::tcp_stream peer) {
        return own != 0 ? send_back(std::move(peer), own) : answer(std::move(peer), size);
    });
}
