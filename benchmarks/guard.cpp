// What a message costs, counted and not timed: system calls, SQEs, CQEs and allocations, and with callgrind the instructions of user
// space. All of it on the simulated kernel, in a world without faults, so that the same build gives the same figures
// everywhere. Both ends are chainring's and on one executor: a figure is of the two of them together. benchmarks/guard
// compares the figures with their limits.
#include "counting_kernel.hpp"
#include "requests.hpp"

#include <chainring/chainring.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

extern "C" {
// NOLINTBEGIN(readability-identifier-naming): glibc's names
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
// NOLINTEND(readability-identifier-naming)

// operator new comes through here too.
void* malloc(std::size_t size) {
    if (counted_allocations >= 0) ++counted_allocations;
    return __libc_malloc(size);
}
void* calloc(std::size_t members, std::size_t size) {
    if (counted_allocations >= 0) ++counted_allocations;
    return __libc_calloc(members, size);
}
void* realloc(void* memory, std::size_t size) {
    if (counted_allocations >= 0) ++counted_allocations;
    return __libc_realloc(memory, size);
}
}

namespace cr = chainring;
using namespace std::literals;

namespace {

constexpr int warm_up = 10; // rounds, until frames, slots and lists have their size
const std::string message(64, 'm');

struct counted {
    usage used;
    long messages = 0;
};

struct shape {
    const char* name;
    cr::task<counted> (*measure)(const shape& self, counting_kernel& kernel);
};

// `exchange(rounds)` carries messages, so many in a round.
template <class Exchange>
cr::task<counted>
measure(const shape& self, counting_kernel& kernel, int rounds, int in_a_round, Exchange exchange) {
    // Twice: they all begin at the same moment, and when they do so again the pool of buffers knows it.
    co_await exchange(warm_up);
    co_await exchange(warm_up);
    kernel.begin();
    co_await exchange(rounds);
    const usage used = kernel.end(self.name);
    co_return counted{.used = used, .messages = static_cast<long>(rounds) * in_a_round};
}

template <class Stream> struct connection {
    Stream near;
    Stream far;
};

cr::endpoint somewhere(cr::socket_kind kind) {
    static int count = 0;
    if (kind.internet) return {"127.0.0.1", 0};
    return cr::endpoint::from_abstract_name("guard" + std::to_string(++count)).value();
}

template <class Stream> cr::task<std::vector<connection<Stream>>> connect(int count) {
    auto bound = cr::listener<Stream>::bind(somewhere(Stream::kind));
    auto listener = std::move(bound).value();
    const auto local = listener.local();
    std::vector<connection<Stream>> made;
    for (int number = 0; number < count; ++number) {
        auto near = co_await Stream::connect(local.value());
        auto far = co_await listener.accept();
        made.push_back({std::move(near).value(), std::move(far).value()});
    }
    co_return made;
}

// Ends the program: a figure of what went wrong means nothing.
void demand(bool right) {
    if (!right) throw std::runtime_error("an exchange went wrong");
}

// As samples/echo does it.
template <class Stream> cr::task<> echo(Stream peer) {
    while (auto chunk = co_await cr::until_shutdown(peer.receive())) {
        if (chunk->empty()) break;
        const auto written = co_await peer.write(std::move(*chunk));
        if (!written) break;
    }
}

cr::task<> take(cr::stream& from, std::size_t size) {
    while (size != 0) {
        const auto chunk = co_await from.receive();
        demand(chunk && !chunk->empty());
        size -= chunk->size();
    }
}

cr::task<> ask(cr::stream& server, int rounds, const std::string& request) {
    for (int round = 0; round < rounds; ++round) {
        const auto sent = co_await server.send(request);
        demand(sent.has_value());
        co_await take(server, request.size());
    }
}

cr::task<> ask_within_a_second(cr::stream& server, int rounds, const std::string& request) {
    for (int round = 0; round < rounds; ++round) {
        const auto sent = co_await server.send(request);
        demand(sent.has_value());
        const auto reply = co_await cr::timeout(1s, server.receive());
        demand(reply && reply->size() == request.size());
    }
}

// Clients that all do the same, each over its own connection to a server that `serve` makes a task of.
template <class Serve, class Ask>
cr::task<counted> converse(
    const shape& self, counting_kernel& kernel, int connections, int rounds, int in_a_round, Serve serve,
    Ask one_asks) {
    auto all = co_await connect<cr::tcp_stream>(connections);
    counted result;
    co_await cr::scope([&](cr::task_group& servers) -> cr::task<> {
        for (auto& each : all) servers.spawn(serve(std::move(each.far)));
        const auto exchange = [&](int count) -> cr::task<> {
            co_await cr::scope([&](cr::task_group& clients) -> cr::task<> {
                for (auto& each : all) clients.spawn(one_asks(each.near, count));
                co_return;
            });
        };
        result = co_await measure(self, kernel, rounds, connections * in_a_round, exchange);
        all.clear();
    });
    co_return result;
}

cr::task<counted> echo_of_one(const shape& self, counting_kernel& kernel) {
    return converse(self, kernel, 1, 500, 1, echo<cr::tcp_stream>, [](cr::stream& server, int rounds) {
        return ask(server, rounds, message);
    });
}

cr::task<counted> echo_of_many(const shape& self, counting_kernel& kernel) {
    return converse(self, kernel, 64, 20, 1, echo<cr::tcp_stream>, [](cr::stream& server, int rounds) {
        return ask(server, rounds, message);
    });
}

cr::task<counted> echo_with_timeout(const shape& self, counting_kernel& kernel) {
    return converse(self, kernel, 1, 500, 1, echo<cr::tcp_stream>, [](cr::stream& server, int rounds) {
        return ask_within_a_second(server, rounds, message);
    });
}

// What benchmarks/replies does.
cr::task<> write_each(cr::tcp_stream peer) {
    requests received(message.size());
    while (auto chunk = co_await peer.receive()) {
        if (chunk->empty()) break;
        received.add(chunk->text());
        for (std::string_view request; !(request = received.next()).empty();) {
            const auto written = co_await peer.write(request);
            if (!written) co_return;
        }
    }
}

constexpr int depth = 16;

cr::task<counted> pipelined(const shape& self, counting_kernel& kernel) {
    return converse(self, kernel, 8, 50, depth, write_each, [](cr::stream& server, int rounds) {
        static const std::string burst(depth * message.size(), 'p');
        return ask(server, rounds, burst);
    });
}

cr::task<> write_burst(cr::stream& to, int rounds) {
    for (int round = 0; round < rounds; ++round) {
        for (int count = 0; count < depth; ++count) {
            const auto written = co_await to.write(message);
            demand(written.has_value());
        }
        const auto flushed = co_await to.flush();
        demand(flushed.has_value());
    }
}

cr::task<> take_records(cr::stream& from, int count) {
    for (; count != 0; --count) {
        const auto record = co_await from.receive();
        demand(record && record->size() == message.size());
    }
}

// Record sockets: what the queue sends in one go is a linked chain.
cr::task<counted> records(const shape& self, counting_kernel& kernel) {
    auto all = co_await connect<cr::seqpacket_stream>(1);
    const auto exchange = [&](int rounds) -> cr::task<> {
        co_await cr::scope([&](cr::task_group& both) -> cr::task<> {
            both.spawn(write_burst(all.front().near, rounds));
            both.spawn(take_records(all.front().far, rounds * depth));
            co_return;
        });
    };
    co_return co_await measure(self, kernel, 100, depth, exchange);
}

cr::task<counted> fan_out(const shape& self, counting_kernel& kernel) {
    constexpr int subscribers = 64;
    auto all = co_await connect<cr::tcp_stream>(subscribers);
    const cr::shared_message news(message);
    const auto exchange = [&](int rounds) -> cr::task<> {
        for (int round = 0; round < rounds; ++round) {
            for (auto& each : all) demand(each.near.try_write(news).has_value());
            for (auto& each : all) co_await take(each.far, message.size());
        }
    };
    co_return co_await measure(self, kernel, 20, subscribers, exchange);
}

cr::task<> echo_datagrams(cr::udp_socket& socket, int count) {
    for (; count != 0; --count) {
        auto got = co_await socket.receive();
        demand(got.has_value());
        const auto written = co_await socket.write_to(got->from(), got->take_payload());
        demand(written.has_value());
    }
}

cr::task<> ask_by_datagrams(cr::udp_socket& socket, cr::endpoint server, int rounds) {
    for (int round = 0; round < rounds; ++round) {
        for (int count = 0; count < depth; ++count) {
            const auto written = co_await socket.write_to(server, message);
            demand(written.has_value());
        }
        for (int count = 0; count < depth; ++count) {
            const auto reply = co_await socket.receive();
            demand(reply.has_value());
        }
    }
}

cr::task<counted> datagrams(const shape& self, counting_kernel& kernel) {
    auto first = cr::udp_socket::bind({"127.0.0.1", 0});
    auto second = cr::udp_socket::bind({"127.0.0.1", 0});
    cr::udp_socket server = std::move(first).value();
    cr::udp_socket client = std::move(second).value();
    const auto at = server.local();
    const auto exchange = [&](int rounds) -> cr::task<> {
        co_await cr::scope([&](cr::task_group& both) -> cr::task<> {
            both.spawn(echo_datagrams(server, rounds * depth));
            both.spawn(ask_by_datagrams(client, at.value(), rounds));
            co_return;
        });
    };
    co_return co_await measure(self, kernel, 50, depth, exchange);
}

cr::task<> connect_ask_and_close(cr::endpoint server, int rounds) {
    for (int round = 0; round < rounds; ++round) {
        auto connected = co_await cr::tcp_stream::connect(server);
        auto peer = std::move(connected).value();
        co_await ask(peer, 1, message);
        const auto closed = co_await peer.close();
        demand(closed.has_value());
    }
}

cr::task<> accept_each(cr::tcp_listener& from, cr::task_group& sessions) {
    auto connections = from.connections();
    while (auto peer = co_await connections.next()) sessions.spawn(echo(std::move(*peer)));
}

cr::task<counted> churn(const shape& self, counting_kernel& kernel) {
    auto bound = cr::tcp_listener::bind({"127.0.0.1", 0});
    auto listener = std::move(bound).value();
    const auto at = listener.local();
    counted result;
    co_await cr::scope([&](cr::task_group& servers) -> cr::task<> {
        servers.spawn(accept_each(listener, servers));
        const auto exchange = [&](int rounds) { return connect_ask_and_close(at.value(), rounds); };
        result = co_await measure(self, kernel, 200, 1, exchange);
        servers.cancel();
    });
    co_return result;
}

// What is known: one of each. It shows that each is counted.
cr::task<counted> one_of_each(const shape& self, counting_kernel& kernel) {
    return measure(self, kernel, 100, 1, [](int rounds) -> cr::task<> {
        for (int round = 0; round < rounds; ++round) {
            std::free(std::malloc(1));
            const auto done = co_await cr::uring([](io_uring_sqe& sqe) { io_uring_prep_nop(&sqe); });
            demand(done.has_value());
        }
    });
}

constexpr shape shapes[] = {
    {"one of each", one_of_each},
    {"echo, 1 connection", echo_of_one},
    {"echo, 64 connections", echo_of_many},
    {"echo with a timeout, 1 connection", echo_with_timeout},
    {"pipelined, a write for each reply", pipelined},
    {"records, 16 in a burst", records},
    {"fan-out to 64", fan_out},
    {"datagrams, 16 in a burst", datagrams},
    {"connect, exchange, close", churn},
};

counted run(const shape& wanted) {
    cr::sim::world world(1, cr::sim::faults{});
    cr::sim::simulated_kernel simulated(world);
    counting_kernel kernel(simulated);
    cr::executor home({}, kernel);
    return home.run(wanted.measure(wanted, kernel));
}

} // namespace

int main() {
    std::printf("messages  enters  other calls  SQEs  CQEs  allocations\n");
    try {
        for (const shape& each : shapes) {
            const auto [used, messages] = run(each);
            const auto per_message = [count = static_cast<double>(messages)](long total) {
                return static_cast<double>(total) / count;
            };
            std::printf(
                "%s  %ld  %.4f  %.4f  %.4f  %.4f  %.4f\n", each.name, messages, per_message(used.enters),
                per_message(used.other_calls), per_message(used.sqes), per_message(used.cqes),
                per_message(used.allocations));
        }
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "guard: %s\n", failure.what());
        return 1;
    }
}
