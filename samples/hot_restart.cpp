// An echo server that can be replaced while it serves: a second one takes over the listener and the connections of the
// first, and no client notices. Try it:  build/samples/hot_restart --listen 127.0.0.1:7000   and, elsewhere, once more.
//
// The old process waits until no session is in the middle of an answer, for a while at most, releases everything, and sends
// it over a unix socket, which goes along. Only when the new one has said that it has everything does the old one end, and
// does the new one begin: if the new one dies in between, or takes too long, the old one goes on.
//
// The first of them may also get its listener from systemd, which is told of each.
#include "command_line.hpp"
#include "standard_output.hpp"

#include <chainring/chainring.hpp>

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace cr = chainring;
using namespace std::chrono_literals;

namespace {

// The records between the two processes begin with one of these.
constexpr char the_listener = 'L';    // its descriptor goes with it
constexpr char of_successors = 'S';   // the listener where they ask, likewise
constexpr char a_connection = 'C';    // likewise
constexpr char received_before = 'R'; // on the connection that came last; then the bytes
constexpr char that_is_all = 'E';
constexpr char all_arrived = 'A'; // the only one in the other direction
constexpr std::size_t longest_record = 64UZ * 1024;

// Clients wait meanwhile.
constexpr auto patience_with_clients = 2s; // who has not read its answer by then is cut off
constexpr auto patience_with_successors = 5s;
constexpr auto patience_with_predecessors = patience_with_clients + patience_with_successors;

// What is served.
struct estate {
    cr::seqpacket_listener successors;
    cr::tcp_listener listener;
    std::vector<cr::tcp_stream> connections;
};

// The same on its way from one process to the other.
struct parcel {
    cr::owned_descriptor descriptor;
    std::vector<std::string> received; // and not answered
};
struct consignment {
    cr::owned_descriptor successors;
    cr::owned_descriptor listener;
    std::vector<parcel> connections;
};

// Ends when the peer does, or leaves the connection to `idle` when a successor asks for it.
cr::task<> echo(cr::tcp_stream peer, std::stop_token asked, std::vector<cr::tcp_stream>& idle) {
    for (;;) {
        auto chunk = co_await cr::cancel_on(asked, cr::until_shutdown(peer.receive()));
        if (!chunk && asked.stop_requested() && peer.is_open()) {
            idle.push_back(std::move(peer));
            co_return;
        }
        if (!chunk || chunk->empty()) co_return;
        const auto sent = co_await peer.send(std::move(*chunk));
        if (!sent) co_return;
    }
}

cr::task<> accept_all(
    cr::tcp_listener& from, cr::task_group& sessions, std::stop_token asked,
    std::vector<cr::tcp_stream>& idle) {
    auto connections = from.connections();
    for (;;) {
        auto peer = co_await cr::cancel_on(asked, connections.next());
        if (!peer) co_return;
        sessions.spawn(echo(std::move(*peer), asked, idle));
    }
}

// Nobody else may have what is served here.
cr::task<cr::result<cr::seqpacket_stream>> next_successor(cr::seqpacket_listener& at) {
    for (;;) {
        auto came = co_await cr::try_(at.accept());
        const auto who = came.peer_credentials();
        if (who && who->user == ::geteuid()) co_return came;
    }
}

cr::task<> ended(cr::task_group& sessions) {
    co_await sessions.join();
}

// Serves until a successor asks for everything, and no session is in the middle of anything.
cr::task<cr::result<cr::seqpacket_stream>> serve(estate& all) {
    std::stop_source asked;
    std::vector<cr::tcp_stream> idle;
    auto successor =
        co_await cr::scope([&](cr::task_group& sessions) -> cr::task<cr::result<cr::seqpacket_stream>> {
            for (cr::tcp_stream& each : all.connections)
                sessions.spawn(echo(std::move(each), asked.get_token(), idle));
            sessions.spawn(accept_all(all.listener, sessions, asked.get_token(), idle));
            auto came = co_await cr::try_(next_successor(all.successors));
            asked.request_stop();
            (void)co_await cr::timeout(patience_with_clients, ended(sessions)); // cancels those that are left
            co_return came;
        });
    all.connections = std::move(idle);
    co_return successor;
}

cr::task<cr::result<consignment>> release(estate all) {
    auto successors = co_await cr::try_(all.successors.release());
    auto listener = co_await cr::try_(all.listener.release());
    for (cr::tcp_stream& each : listener.accepted) all.connections.push_back(std::move(each));
    consignment released{std::move(successors.descriptor), std::move(listener.descriptor), {}};
    for (cr::tcp_stream& each : all.connections) {
        auto left = co_await each.release();
        if (!left || left->error) continue; // it broke meanwhile, and ends here
        parcel& made = released.connections.emplace_back(std::move(left->descriptor));
        for (const cr::buffer& part : left->received) made.received.emplace_back(part.text());
    }
    co_return released;
}

cr::result<estate> adopt(consignment all) {
    auto successors = cr::seqpacket_listener::adopt(std::move(all.successors));
    if (!successors) return cr::failure(successors.error());
    auto listener = cr::tcp_listener::adopt(std::move(all.listener));
    if (!listener) return cr::failure(listener.error());
    estate made{std::move(*successors), std::move(*listener), {}};
    for (parcel& each : all.connections) {
        std::vector<cr::byte_span> received;
        for (const std::string& part : each.received) received.push_back(std::as_bytes(std::span(part)));
        auto connection = cr::tcp_stream::adopt(std::move(each.descriptor), received);
        if (connection) made.connections.push_back(std::move(*connection)); // else its peer has reset it
    }
    return made;
}

// When it has succeeded the successor serves all of it, and the descriptors here are duplicates.
cr::task<cr::result<void>> hand_over(cr::seqpacket_stream& to, const consignment& all) {
    co_await cr::try_(to.send_fd(all.successors.get(), std::string_view(&of_successors, 1)));
    co_await cr::try_(to.send_fd(all.listener.get(), std::string_view(&the_listener, 1)));
    for (const parcel& each : all.connections) {
        co_await cr::try_(to.send_fd(each.descriptor.get(), std::string_view(&a_connection, 1)));
        for (const std::string& part : each.received) co_await cr::try_(to.send(received_before + part));
    }
    co_await cr::try_(to.send(std::string(1, that_is_all)));
    const cr::buffer answer = co_await cr::try_(to.receive());
    if (answer.text() != std::string_view(&all_arrived, 1))
        co_return cr::failure(std::make_error_code(std::errc::protocol_error));
    co_return {};
}

cr::task<cr::result<consignment>> take_over(cr::seqpacket_stream& from) {
    consignment all;
    std::array<std::byte, longest_record> space{};
    for (;;) {
        auto came = co_await cr::try_(from.receive_fd(space));
        const std::string_view text(reinterpret_cast<const char*>(space.data()), came.size);
        const char kind = text.empty() ? '\0' : text.front();
        const bool has_descriptor = came.descriptors.size() == 1;
        if (kind == of_successors && has_descriptor)
            all.successors = std::move(came.descriptors.front());
        else if (kind == the_listener && has_descriptor)
            all.listener = std::move(came.descriptors.front());
        else if (kind == a_connection && has_descriptor)
            all.connections.emplace_back(std::move(came.descriptors.front()));
        else if (kind == received_before && !all.connections.empty())
            all.connections.back().received.emplace_back(text.substr(1));
        else if (kind == that_is_all)
            co_return all;
        else
            co_return cr::failure(std::make_error_code(std::errc::protocol_error));
    }
}

// From the process that serves already, from systemd, or new.
cr::task<cr::result<estate>> begin(cr::endpoint at, cr::endpoint successors_at) {
    auto before = co_await cr::seqpacket_stream::connect(successors_at);
    if (before) {
        auto taking_over = cr::timeout(patience_with_predecessors, take_over(*before));
        consignment came = co_await cr::try_(std::move(taking_over));
        estate all = co_await cr::try_(adopt(std::move(came)));
        co_await cr::try_(before->send(std::string(1, all_arrived)));
        co_return all;
    }
    if (before.error() != std::errc::connection_refused &&
        before.error() != std::errc::no_such_file_or_directory)
        co_return cr::failure(before.error());
    // The path of one that has died is in the way.
    if (!successors_at.path().empty()) ::unlink(std::string(successors_at.path()).c_str());
    auto successors = co_await cr::try_(cr::seqpacket_listener::bind(successors_at));
    auto passed = co_await cr::try_(cr::systemd::passed_sockets::take());
    auto listener =
        passed.empty() ? cr::tcp_listener::bind(at) : passed.adopt<cr::tcp_listener>(passed.names().front());
    if (!listener) co_return cr::failure(listener.error());
    co_return estate{std::move(successors), std::move(*listener), {}};
}

// Until a successor serves everything.
cr::task<cr::result<void>> serve_until_succeeded(estate all) {
    for (;;) {
        (void)co_await cr::systemd::notify("READY=1\nMAINPID=" + std::to_string(::getpid()));
        const auto local = co_await cr::try_(all.listener.local());
        std::printf("listening on %s\n%zu connections\n", local.to_string().c_str(), all.connections.size());
        std::fflush(stdout);

        auto successor = co_await cr::try_(serve(all));
        consignment released = co_await cr::try_(release(std::move(all)));
        auto handing_over = cr::timeout(patience_with_successors, hand_over(successor, released));
        const auto handed_over = co_await std::move(handing_over);
        if (handed_over) co_return {};
        std::fprintf(stderr, "hot_restart: the successor: %s\n", handed_over.error().message().c_str());
        all = co_await cr::try_(adopt(std::move(released)));
    }
}

cr::task<cr::result<void>> run(cr::endpoint at, cr::endpoint successors_at) {
    co_return co_await cr::scope([&](cr::task_group& beside) -> cr::task<cr::result<void>> {
        beside.spawn(cr::systemd::feed_watchdog());
        estate all = co_await cr::try_(begin(at, successors_at));
        co_await cr::try_(serve_until_succeeded(std::move(all)));
        beside.cancel();
        co_return {};
    });
}

} // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:7000";
    std::string successors = "unix:@hot_restart";
    command_line arguments("A TCP echo server that another process can take over");
    arguments.option(
        "--listen", listen, "where to listen, as 127.0.0.1:7000 or [::1]:7000, unless it takes over");
    arguments.option(
        "--successors", successors, "where one process asks the other, as unix:/path or unix:@name");
    if (const auto status = arguments.parse(argc, argv)) return *status;

    const auto at = cr::endpoint::parse(listen);
    const auto successors_at = cr::endpoint::parse(successors);
    for (const auto& [text, parsed] : {std::pair(listen, at), std::pair(successors, successors_at)})
        if (!parsed) {
            std::fprintf(stderr, "hot_restart: %s: %s\n", text.c_str(), parsed.error().message().c_str());
            return 1;
        }
    try {
        return written_or_failed("hot_restart", cr::runtime{}.run(run(*at, *successors_at)));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "hot_restart: %s\n", error.what());
        return 1;
    }
}
