#include "scripted_source.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::literals;

namespace {

using optional_message = result<std::optional<message_view>>;

std::string told_of(const optional_message& received) {
    if (!received) return received.error().message();
    return *received ? "'" + std::string((*received)->text()) + "'" : "the end";
}

template <class Framed> task<> expect_message(Framed& from, std::string text) {
    const optional_message received = co_await from.receive();
    CHECK((told_of(received) == "'" + text + "'"));
}

// On the wire: the payload's length in one decimal digit, the payload, and the sum of its bytes.
struct with_checksum {
    std::size_t longest() const { return 11; }
    result<frame> find(byte_span received, std::size_t) const {
        if (received.empty()) return frame{};
        const std::size_t length = std::to_integer<std::size_t>(received[0]) - '0';
        if (length > 9) return failure(std::make_error_code(std::errc::bad_message));
        if (received.size() < length + 2) return frame{};
        if (received[length + 1] != sum_of(received.subspan(1, length)))
            return failure(std::make_error_code(std::errc::bad_message));
        return frame{.size = length + 2, .before = 1, .behind = 1};
    }
    struct edges {
        std::byte length;
        std::byte sum;
        byte_span before() const { return {&length, 1}; }
        byte_span behind() const { return {&sum, 1}; }
    };
    result<edges> around(byte_span payload) const {
        if (payload.size() > 9) return failure(errc::too_long);
        return edges{static_cast<std::byte>('0' + payload.size()), sum_of(payload)};
    }
    static std::byte sum_of(byte_span payload) {
        unsigned sum = 0;
        for (const std::byte each : payload) sum += std::to_integer<unsigned>(each);
        return static_cast<std::byte>(sum);
    }
};

// The codec of docs/guide.md, in its words.
namespace cr = chainring;

struct with_type { // a byte for the kind of message, a byte for the payload's length, the payload
    std::byte kind{};

    std::size_t longest() const { return 2 + 255; }
    cr::result<cr::frame> find(cr::byte_span received, std::size_t) const {
        if (received.size() < 2) return cr::frame{}; // cannot be told yet
        return cr::frame{.size = 2 + std::to_integer<std::size_t>(received[1]), .before = 2};
    }

    struct head {
        std::array<std::byte, 2> bytes;
        cr::byte_span before() const { return bytes; }
        cr::byte_span behind() const { return {}; }
    };
    cr::result<head> around(cr::byte_span payload) const {
        if (payload.size() > 255) return cr::failure(cr::errc::too_long);
        return head{{kind, static_cast<std::byte>(payload.size())}};
    }
};

// Tells of every message the same.
struct always {
    frame told;
    std::size_t longest() const { return 100; }
    result<frame> find(byte_span received, std::size_t) const { return received.size() < 4 ? frame{} : told; }
    result<delimited::suffix> around(byte_span) const { return delimited::suffix({}); }
};

template <class Codec> task<> check_wire(Codec codec, std::string payload, std::string on_the_wire) {
    auto pair = co_await connected_to_plain<over_tcp>();
    framed link(pair.stream, codec);
    must(co_await link.send(payload));
    must(co_await link.send(std::as_bytes(std::span(payload.data(), payload.size()))));
    must(co_await link.send(std::string(payload)));
    must(co_await link.send(shared_message(payload)));
    must(co_await link.write(payload));
    must(co_await pair.stream.flush());
    CHECK(executor::current()->stats().messages_sent == 5); // what is around it is no message of its own
    std::string sent;
    for (int count = 0; count < 5; ++count) sent += on_the_wire;
    const std::string got = co_await read_plain(pair.peer, sent.size());
    CHECK((got == sent));
    CHECK(pair.peer.send(got));
    for (int count = 0; count < 5; ++count) co_await expect_message(link, payload);
    pair.peer.close();
    for (int again = 0; again < 2; ++again) {
        const optional_message end = co_await link.receive();
        CHECK(told_of(end) == "the end");
    }
}

} // namespace

TEST_CASE("each_codec_puts_on_the_wire_what_it_says_and_reads_it_back") {
    const auto check = [](auto codec, const std::string& payload, const std::string& on_the_wire) {
        on_executor(task_work_mode::throughput, [&] { return check_wire(codec, payload, on_the_wire); });
    };
    check(length_prefixed<std::uint8_t>{100}, "abc", "\3abc");
    check(length_prefixed<std::uint16_t>{100}, "abc", "\0\3abc"s);
    check(length_prefixed<std::uint16_t>{100, std::endian::little}, "abc", "\3\0abc"s);
    check(length_prefixed<std::uint32_t>{1000}, std::string(258, 'x'), "\0\0\1\2"s + std::string(258, 'x'));
    check(
        length_prefixed<std::uint32_t>{1000, std::endian::little}, std::string(258, 'x'),
        "\2\1\0\0"s + std::string(258, 'x'));
    check(length_prefixed<std::uint64_t>{100}, "abc", "\0\0\0\0\0\0\0\3abc"s);
    check(length_prefixed<std::uint64_t>{100, std::endian::little}, "abc", "\3\0\0\0\0\0\0\0abc"s);
    check(length_prefixed<std::uint8_t>{100}, "", "\0"s);
    check(delimited("\r\n", 100), "abc\r", "abc\r\r\n");
    check(delimited("\n", 100), "", "\n");
    check(with_checksum{}, "abc", "3abc\x26");
    check(with_type{std::byte{7}}, "abc", "\7\3abc");
    check(with_type{}, "", "\0\0"s);
    check(with_type{std::byte{7}}, std::string(255, 'x'), "\7\xff" + std::string(255, 'x'));
}

TEST_CASE("however_messages_are_split_they_are_found") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        const auto check = [](auto codec, std::string_view input) -> task<> {
            constexpr const char* payloads[] = {"'one'", "''", "'2'"};
            for (unsigned cuts = 0; cuts < 1U << (input.size() - 1); ++cuts) {
                CAPTURE(cuts);
                scripted_source from(split(input, cuts));
                buffered_reader reader(from);
                for (const char* const text : payloads) {
                    const auto message = co_await reader.read_message(codec);
                    CHECK(told(message) == text);
                }
                const auto end = co_await reader.read_message(codec);
                CHECK(told(end) == message_of(errc::end_of_stream));
            }
        };
        constexpr length_prefixed<std::uint8_t> one_byte{100};
        constexpr length_prefixed<std::uint16_t> two_bytes{100};
        constexpr with_checksum of_its_own;
        const delimited dashes("--", 100);
        co_await check(one_byte, "\3one\0\0012"sv);
        co_await check(two_bytes, "\0\3one\0\0\0\0012"sv);
        co_await check(of_its_own, "3one\x42\60\0001\x32\x32"sv);
        co_await check(dashes, "one----2--"sv);
    });
}

TEST_CASE("a_message_at_its_limit_is_sent_and_received_and_a_longer_one_is_refused") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        const auto check = [](auto codec, auto wider, std::size_t limit) -> task<> {
            for (std::size_t size = limit - 1; size <= limit + 1; ++size) {
                auto pair = co_await connected<over_tcp>();
                framed from(pair.near, wider);
                framed to(pair.far, codec);
                const std::string payload(size, 'x');
                must(co_await from.send(payload));
                const optional_message received = co_await to.receive();
                const auto sent = co_await to.send(payload);
                const auto written = co_await to.write(payload);
                if (size <= limit) {
                    CHECK((told_of(received) == "'" + payload + "'"));
                    CHECK(sent.has_value());
                    CHECK(written.has_value());
                } else {
                    CHECK(error_of(received) == errc::too_long);
                    CHECK(error_of(received) == std::errc::message_size);
                    CHECK(error_of(sent) == errc::too_long);
                    CHECK(error_of(written) == errc::too_long);
                    must(co_await pair.far.send("nothing of it was"sv));
                    co_await expect(pair.near, "nothing of it was");
                }
            }
        };
        constexpr length_prefixed<std::uint16_t> to_300{300};
        constexpr length_prefixed<std::uint16_t> to_1000{1000};
        const delimited to_10("\r\n", 10);
        const delimited to_100("\r\n", 100);
        co_await check(to_300, to_1000, 300);
        co_await check(to_10, to_100, 10);
    });
}

TEST_CASE("a_length_that_the_prefix_has_no_room_for_is_refused") {
    constexpr length_prefixed<std::uint8_t> codec{1000};
    CHECK(codec.around(byte_span(std::vector<std::byte>(255))).has_value());
    CHECK(error_of(codec.around(byte_span(std::vector<std::byte>(256)))) == errc::too_long);
}

TEST_CASE("the_longest_length_there_is_is_too_long") {
    const std::vector<std::byte> most(8, std::byte{0xff});
    CHECK(error_of(length_prefixed<std::uint64_t>{std::size_t(-2)}.find(most, 0)) == errc::too_long);
    on_executor(task_work_mode::throughput, [&]() -> task<> {
        scripted_source from({std::string(9, '\xff')});
        buffered_reader reader(from);
        length_prefixed<std::uint64_t> codec{std::size_t(-1)};
        const auto message = co_await reader.read_message(codec);
        CHECK(error_of(message) == errc::too_long);
        CHECK(reader.buffered() == 9);
    });
}

TEST_CASE("a_payload_in_which_an_end_would_be_found_is_not_sent") {
    const auto refused = [](const char* delimiter, std::string_view payload) {
        const delimited codec(delimiter, 100);
        return error_of(codec.around(std::as_bytes(std::span(payload)))) == std::errc::invalid_argument;
    };
    CHECK(refused("\n", "two\nlines"));
    CHECK(refused("\n", "\n"));
    CHECK(refused("\r\n", "two\r\n"));
    CHECK_FALSE(refused("\r\n", "one\rmore\n\r"));
    CHECK(refused("aa", "bca"));
    CHECK(refused("aba", "xab"));
    CHECK_FALSE(refused("aba", "xa"));
    CHECK(refused("", "anything"));
}

TEST_CASE("the_end_in_the_middle_of_a_message_is_an_error") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        constexpr std::string_view in_the_middle[] = {"\0"sv, "\0\3"sv, "\0\3ab"sv};
        for (const std::string_view begun : in_the_middle) {
            auto pair = co_await connected_to_plain<over_tcp>();
            framed link(pair.stream, length_prefixed<std::uint16_t>{100});
            CHECK(pair.peer.send("\0\3one"s + std::string(begun)));
            pair.peer.close();
            co_await expect_message(link, "one");
            const optional_message cut = co_await link.receive();
            CHECK(told_of(cut) == message_of(errc::cut_off));
            const auto rest = co_await link.reader().read_some();
            CHECK((told(rest) == "'" + std::string(begun) + "'"));
            const optional_message end = co_await link.receive();
            CHECK(told_of(end) == "the end");
        }
    });
}

TEST_CASE("what_a_codec_finds_wrong_is_the_error_of_the_receive") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        auto pair = co_await connected_to_plain<over_tcp>();
        framed link(pair.stream, with_checksum{});
        CHECK(pair.peer.send("3one!"));
        const optional_message wrong = co_await link.receive();
        CHECK(error_of(wrong) == std::errc::bad_message);
        const auto all = co_await link.reader().read_exactly(5); // it is still there
        CHECK(told(all) == "'3one!'");
        const auto too_long = co_await link.send("0123456789");
        CHECK(error_of(too_long) == errc::too_long);
    });
}

TEST_CASE("a_codec_that_tells_of_a_message_that_cannot_be_fails_the_receive") {
    on_executor(task_work_mode::throughput, []() -> task<> {
        constexpr std::size_t most = std::size_t(-1);
        for (const frame& told_wrongly : {
                 frame{.size = 0},
                 frame{.size = 4, .before = 3, .behind = 3},
                 frame{.size = 4, .before = 5},
                 frame{.size = 4, .behind = 5},
                 frame{.size = 4, .before = most, .behind = 2},
                 frame{.size = 4, .before = 2, .behind = most},
             }) {
            auto pair = co_await connected_to_plain<over_tcp>();
            framed link(pair.stream, always{told_wrongly});
            CHECK(pair.peer.send("four"));
            const optional_message received = co_await link.receive();
            CHECK(error_of(received) == errc::bad_frame);
            const auto all = co_await link.reader().read_exactly(4); // it is still there
            CHECK(told(all) == "'four'");
        }
    });
}

TRANSPORT_TEST_CASE("messages_of_random_sizes_pass_both_ways_in_order") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected<over_any>(4096);
        constexpr length_prefixed<std::uint32_t> codec{20'000};
        framed near(pair.near, codec);
        framed far(pair.far, codec);
        std::minstd_rand random(11);
        std::vector<std::string> messages;
        for (std::uint32_t count = 1; count <= 60; ++count)
            messages.push_back(random_text(count % 5 == 0 ? random() % 20'000 : random() % 300, count));
        co_await scope([&](task_group& group) -> task<> {
            group.spawn([](auto& to, const std::vector<std::string>& sent, auto& over) -> task<> {
                for (std::size_t at = 0; at < sent.size(); ++at) {
                    if (at % 2 == 0)
                        must(co_await to.send(sent[at]));
                    else
                        must(co_await to.write(sent[at]));
                }
                must(co_await over.shutdown());
            }(near, messages, pair.near));
            group.spawn([](auto& echoing, auto& over) -> task<> {
                for (;;) {
                    const optional_message message = co_await echoing.receive();
                    REQUIRE(message.has_value());
                    if (!*message) break;
                    must(co_await echoing.send(**message));
                }
                must(co_await over.shutdown());
            }(far, pair.far));
            for (const std::string& each : messages) co_await expect_message(near, each);
            const optional_message end = co_await near.receive();
            CHECK(told_of(end) == "the end");
        });
    });
}

TRANSPORT_TEST_CASE("a_receive_that_is_cancelled_in_the_middle_of_a_message_loses_nothing") {
    on_executor(GENERATE(both_modes()), []() -> task<> {
        auto pair = co_await connected_to_plain<over_any>();
        framed link(pair.stream, length_prefixed<std::uint16_t>{100});
        constexpr std::string_view whole = "\0\5hello"sv;
        for (std::size_t first = 0; first < whole.size(); ++first) {
            if (first != 0) CHECK(pair.peer.send(whole.substr(0, first)));
            std::string cancelled;
            co_await scope([&](task_group& group) -> task<> {
                group.spawn([](auto& from, std::string& outcome) -> task<> {
                    const optional_message received = co_await from.receive();
                    outcome = told_of(received);
                }(link, cancelled));
                co_await until([&] { return link.reader().buffered() == first; });
                group.cancel();
            });
            CHECK(cancelled == message_of(errc::cancelled));
            CHECK(pair.peer.send(whole.substr(first)));
            co_await expect_message(link, "hello");
        }
    });
}
