// Live connections that change hands between a loop of Boost.Asio and chainring, on one thread, while data is in flight: no
// byte is lost, doubled or out of order.
#include "support.hpp"

#include <chainring/runtime/spawn.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch_get_random_seed.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <random>
#include <vector>

using namespace chainring;
using namespace chainring::test;

namespace asio = boost::asio;

namespace {

using bytes_of_asio = std::vector<std::byte>;

// What the connections of a test have in common.
struct hands {
    asio::io_context& asio;
    executor& home;
    std::minstd_rand& random;
    int changes = 0; // to chainring and back
    int wanted = 0;

    unsigned below(unsigned limit) { return static_cast<unsigned>(random() >> 8) % limit; }
};

// The server's end of a connection: it sends back what comes, now in Asio and now in chainring.
class echo_by_turns {
  public:
    echo_by_turns(hands& of, asio::ip::tcp::socket socket)
        : of_(of)
        , socket_(std::move(socket)) {}

    void begin() { read(); }
    bool ended() const { return ended_; }

  private:
    void read() {
        socket_.async_read_some(
            asio::buffer(memory_), [this](boost::system::error_code error, std::size_t size) {
                if (error) {
                    REQUIRE(error == asio::error::eof);
                    socket_.close();
                    ended_ = true;
                    return;
                }
                const auto* const begin = reinterpret_cast<const std::byte*>(memory_.data());
                const bool hands_over = of_.changes < of_.wanted && of_.below(2) == 0;
                if (hands_over)
                    to_chainring({begin, begin + size}); // read, and not yet sent back
                else
                    write({begin, begin + size});
            });
    }

    void write(bytes_of_asio bytes) {
        answer_ = std::move(bytes);
        asio::async_write(
            socket_, asio::buffer(answer_), [this](boost::system::error_code error, std::size_t) {
                REQUIRE_FALSE(error);
                read();
            });
    }

    void to_chainring(bytes_of_asio read) {
        const int descriptor = socket_.release();
        spawn(of_.home, echo(descriptor, std::move(read)), [](const ended_task<void>& end) { REQUIRE(end); });
    }

    task<> echo(int descriptor, bytes_of_asio read) {
        const byte_span pieces[] = {read};
        auto adopted = tcp_stream::adopt(descriptor, pieces);
        REQUIRE(adopted);
        tcp_stream stream = std::move(*adopted);
        for (unsigned chunks = 1 + of_.below(3); chunks != 0; --chunks) {
            auto chunk = co_await stream.receive();
            REQUIRE(chunk);
            if (chunk->empty()) break; // Asio will see it too
            const auto written = co_await stream.write(std::move(*chunk));
            REQUIRE(written);
        }
        auto released = co_await stream.release(of_.below(2) == 0 ? duration::zero() : patience);
        REQUIRE(released);
        to_asio(std::move(*released));
    }

    // What chainring has not sent is sent first, then what it had received.
    void to_asio(released_stream released) {
        ++of_.changes;
        socket_.assign(asio::ip::tcp::v4(), released.descriptor.take());
        bytes_of_asio owed;
        for (const auto& each : released.unsent) owed.insert(owed.end(), each.begin(), each.end());
        for (const buffer& each : released.received)
            owed.insert(owed.end(), each.bytes().begin(), each.bytes().end());
        if (owed.empty())
            read();
        else
            write(std::move(owed));
    }

    static constexpr std::chrono::seconds patience{20};

    hands& of_;
    asio::ip::tcp::socket socket_;
    std::array<char, 8192> memory_{};
    bytes_of_asio answer_;
    bool ended_ = false;
};

// The other end, an ordinary socket that never waits: it sends numbered bytes and reads them back.
class numbered_bytes {
  public:
    explicit numbered_bytes(asio::ip::tcp::socket socket)
        : socket_(std::move(socket)) {
        socket_.non_blocking(true);
    }

    void send(std::size_t most) {
        std::array<char, 4096> bytes;
        const std::size_t size = std::min(most, bytes.size());
        for (std::size_t at = 0; at < size; ++at) bytes[at] = numbered(sent_ + at);
        boost::system::error_code error;
        sent_ += socket_.write_some(asio::buffer(bytes.data(), size), error);
        REQUIRE((!error || error == asio::error::would_block));
    }
    void receive() {
        std::array<char, 16'384> bytes;
        boost::system::error_code error;
        const std::size_t size = socket_.read_some(asio::buffer(bytes), error);
        for (std::size_t at = 0; at < size; ++at)
            in_order_ = in_order_ && bytes[at] == numbered(received_ + at);
        received_ += size;
        const bool may_end = ended_ && error == asio::error::eof;
        REQUIRE((!error || may_end || error == asio::error::would_block));
    }
    void end() {
        ended_ = true;
        socket_.shutdown(asio::ip::tcp::socket::shutdown_send);
    }

    std::size_t sent() const { return sent_; }
    std::size_t received() const { return received_; }
    bool in_order() const { return in_order_; }

  private:
    // No period that a block's size could hide.
    static char numbered(std::size_t at) { return static_cast<char>(at % 251); }

    asio::ip::tcp::socket socket_;
    std::size_t sent_ = 0;
    std::size_t received_ = 0;
    bool in_order_ = true;
    bool ended_ = false;
};

void change_hands(int wanted, task_work_mode mode) {
    const std::uint32_t seed = Catch::getSeed();
    CAPTURE(seed);
    std::minstd_rand random(seed);
    asio::io_context io;
    executor home(options_for(mode));
    hands of{io, home, random, 0, wanted};
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    std::vector<std::unique_ptr<echo_by_turns>> servers;
    std::vector<numbered_bytes> clients;
    constexpr int connections = 8;
    for (int each = 0; each < connections; ++each) {
        asio::ip::tcp::socket client(io);
        client.connect(acceptor.local_endpoint());
        servers.push_back(std::make_unique<echo_by_turns>(of, acceptor.accept()));
        servers.back()->begin();
        clients.emplace_back(std::move(client));
    }
    const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(4);
    const auto turn = [&] {
        io.poll();
        io.restart();
        home.pump();
        for (numbered_bytes& each : clients) each.receive();
        if (std::chrono::steady_clock::now() > limit) FAIL("waited too long, after " << of.changes);
    };
    while (of.changes < wanted) {
        for (numbered_bytes& each : clients)
            if (each.sent() - each.received() < 200'000) each.send(1 + of.below(4096));
        turn();
    }
    for (numbered_bytes& each : clients)
        while (each.received() < each.sent()) turn();
    for (numbered_bytes& each : clients) each.end();
    while (!std::ranges::all_of(servers, [](const auto& each) { return each->ended(); })) turn();
    for (const numbered_bytes& each : clients) {
        CHECK(each.in_order());
        CHECK(each.received() == each.sent());
    }
    while (home.pump()) {
    }
    check_baseline(home);
}

} // namespace

TEST_CASE("connections_change_hands_ten_thousand_times_and_no_byte_is_lost", "[linux]") {
    const std::size_t descriptors = open_descriptors();
    change_hands(10'000, GENERATE(both_modes()));
    CHECK(open_descriptors() == descriptors);
}
