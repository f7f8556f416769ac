// A log collector over SEQPACKET: each line of a client's standard input is one record, and the server prints the
// records of a client whole and in their order.
//
//     build/samples/log_seqpacket --listen unix:/tmp/log.sock
//     build/samples/log_seqpacket --send unix:/tmp/log.sock < some.log
#include "command_line.hpp"

#include <chainring/chainring.hpp>

#include <cstdio>
#include <iostream>
#include <string>

namespace cr = chainring;

namespace {

// What a server has room for. A longer record would be lost on its side, and its sender would not know.
constexpr unsigned longest_record = 64 * 1024; // bytes

cr::task<> print_records(cr::seqpacket_stream client) {
    for (;;) {
        const auto record = co_await cr::until_shutdown(client.receive());
        if (!record && record.error() == std::errc::message_size) {
            std::fprintf(stderr, "log_seqpacket: a record of more than %u bytes is lost\n", longest_record);
            continue;
        }
        if (!record || record->empty()) co_return;
        const std::string_view text = record->text();
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::putchar('\n');
        std::fflush(stdout);
    }
}

cr::task<cr::result<void>> serve(cr::endpoint at) {
    auto listener = co_await cr::try_(cr::seqpacket_listener::bind(at));
    std::fprintf(stderr, "listening on %s\n", at.to_string().c_str());
    co_return co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<void>> {
        for (;;) {
            cr::seqpacket_stream client = co_await cr::try_(listener.accept());
            sessions.spawn(print_records(std::move(client)));
        }
    });
}

// Lines are read in the order in which they stand; writing waits only when the server is slow. errors: besides the
// connection's std::errc::message_size, when a line was too long and left out.
cr::task<cr::result<void>> send_lines(cr::endpoint to) {
    auto server = co_await cr::try_(cr::seqpacket_stream::connect(to));
    std::string line;
    bool left_out = false;
    for (unsigned long number = 1; std::getline(std::cin, line); ++number) {
        if (line.size() > longest_record) {
            std::fprintf(
                stderr, "log_seqpacket: line %lu is left out: it has %zu bytes, a record at most %u\n",
                number, line.size(), longest_record);
            left_out = true;
            continue;
        }
        if (line.empty()) line = " "; // a record has at least one byte
        co_await cr::try_(server.write(std::move(line)));
        line = {};
    }
    co_await cr::try_(server.close());
    if (left_out) co_return cr::failure(std::make_error_code(std::errc::message_size));
    co_return cr::result<void>();
}

} // namespace

int main(int argc, char** argv) {
    std::string listen;
    std::string send;
    command_line arguments("A log collector over unix SEQPACKET sockets, and its client");
    arguments.option("--listen", listen, "print the records that arrive here, as unix:/path or unix:@name");
    arguments.option("--send", send, "send the lines of standard input there");
    if (const auto status = arguments.parse(argc, argv)) return *status;
    if (listen.empty() == send.empty()) {
        std::fprintf(stderr, "log_seqpacket: one of --listen and --send is needed\n");
        return 1;
    }

    const std::string& address = listen.empty() ? send : listen;
    const auto at = cr::endpoint::parse(address);
    if (!at) {
        std::fprintf(stderr, "log_seqpacket: %s: %s\n", address.c_str(), at.error().message().c_str());
        return 1;
    }
    try {
        cr::runtime_options options;
        options.executor.buffers.block_size = longest_record;
        cr::runtime runtime(options);
        const cr::result<void> done = runtime.block_on(listen.empty() ? send_lines(*at) : serve(*at));
        if (!done && done.error() != cr::errc::cancelled) {
            std::fprintf(stderr, "log_seqpacket: %s: %s\n", address.c_str(), done.error().message().c_str());
            return 1;
        }
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "log_seqpacket: %s\n", error.what());
        return 1;
    }
}
