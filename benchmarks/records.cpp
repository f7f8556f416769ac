// Answers each record with a burst of records, by a `write` for each: nothing in this code knows of batches. The first
// byte of a reply is its place in the burst; the others are the request's.
#include "command_line.hpp"
#include "serving.hpp"

namespace cr = chainring;

namespace {

cr::task<> answer(cr::seqpacket_stream peer, unsigned burst) {
    while (auto record = co_await peer.receive()) {
        if (record->empty()) break; // end of stream
        for (unsigned place = 0; place < burst; ++place) {
            record->data()[0] = static_cast<std::byte>(place);
            const auto written = co_await peer.write(record->text());
            if (!written) co_return;
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "unix:@chainring-records";
    unsigned burst = 16;
    command_line arguments("records: a SEQPACKET server that answers a record with a burst of them");
    arguments.option("--listen", listen, "a unix socket, as unix:/path or unix:@name");
    arguments.option("--burst", burst, "records of an answer").between(1, 256);
    if (const auto status = arguments.parse(argc, argv)) return *status;
    return serving::serve<cr::seqpacket_stream>(
        "records", listen, [burst](cr::seqpacket_stream peer) { return answer(std::move(peer), burst); });
}
