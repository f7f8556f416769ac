// Answers each request with its own bytes, by a `write` for each: nothing in this code knows of batches, and the
// send queue makes one of all the replies to a chunk. Or writes back each block as it was received, whatever it holds.
#include "command_line.hpp"
#include "requests.hpp"
#include "serving.hpp"

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

cr::task<> send_back(cr::tcp_stream peer) {
    while (auto block = co_await peer.receive()) {
        if (block->empty()) break;
        const auto written = co_await peer.write(std::move(*block)); // the next is received meanwhile
        if (!written) co_return;
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:0";
    std::size_t size = 64;
    bool whole = false;
    command_line arguments("replies: a server that answers each request by one write");
    arguments.option("--listen", listen, "address and port; port 0 picks a free one");
    arguments.option("--size", size, "bytes of a request").between(1, 1 << 20);
    arguments.flag("--blocks", whole, "write back each block that was received, in place of requests");
    if (const auto status = arguments.parse(argc, argv)) return *status;
    return serving::serve<cr::tcp_stream>("replies", listen, [size, whole](cr::tcp_stream peer) {
        return whole ? send_back(std::move(peer)) : answer(std::move(peer), size);
    });
}
