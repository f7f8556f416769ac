// Two UDP sockets of the mixed world that talk to each other: datagrams may get lost, but none arrives twice, unsent or
// changed, and none overtakes another by the library's doing.
#pragma once

#include "mixed_clients.hpp"

#include <map>

namespace chainring::test::mixed {

// What was said in one direction, by number: the text, and how its sending ended.
class datagrams_said {
  public:
    struct datagram {
        std::string text;
        std::error_code error = make_error_code(errc::cancelled); // until its result is known
    };

    datagram& begin(town& all) {
        const auto number = static_cast<std::uint32_t>(said_.size());
        std::string text(reinterpret_cast<const char*>(&number), sizeof number);
        text += all.new_text(all.choose(250, "size of a datagram")); // it fits into the smallest block
        return said_[number] = {.text = std::move(text)};
    }
    void heard(std::string_view text) {
        std::uint32_t number = 0;
        REQUIRE(text.size() >= sizeof number);
        std::memcpy(&number, text.data(), sizeof number);
        REQUIRE(said_.contains(number));
        CHECK(said_.at(number).text == text);
        arrived_.push_back(number);
    }
    void check(bool in_order) {
        if (in_order) CHECK(std::ranges::is_sorted(arrived_));
        for (const std::uint32_t number : arrived_) CHECK_FALSE(said_.at(number).error);
        std::ranges::sort(arrived_);
        CHECK(std::ranges::adjacent_find(arrived_) == arrived_.end());
    }

  private:
    std::map<std::uint32_t, datagram> said_;
    std::vector<std::uint32_t> arrived_;
};

inline task<> say_datagram(town& all, chainring::udp_socket& to, datagrams_said::datagram& said) {
    const auto outcome = co_await to.send(std::string_view(said.text));
    said.error = error_of(outcome);
    if (!outcome) CHECK(all.is_expected_of_datagram(outcome.error()));
}

// Until a silence that is longer than any on the way. Half of what it hears it answers.
inline task<>
hear_datagrams(town& all, chainring::udp_socket& at, datagrams_said& heard, datagrams_said* answers) {
    for (;;) {
        if (all.choose(8, "the reader pauses") == 0) co_await pause(all.up_to_milliseconds(3, "how long"));
        const auto got = co_await timeout(1s, at.receive());
        if (!got && got.error() == errc::timed_out) co_return;
        if (!got) {
            const bool goes_on = got.error() != errc::cancelled && all.is_expected_of_datagram(got.error());
            CHECK(goes_on); // told once for each datagram that was refused
            if (!goes_on) co_return;
            continue;
        }
        heard.heard(got->text());
        if (answers != nullptr && all.choose(2, "an answer") == 0)
            co_await say_datagram(all, at, answers->begin(all));
    }
}

inline task<> say_datagrams(town& all, chainring::udp_socket& to, datagrams_said& said) {
    const std::uint32_t rounds = all.choose(5, "rounds");
    for (std::uint32_t round = 0; round < rounds; ++round) {
        co_await scope([&](task_group& group) -> task<> {
            const std::uint32_t count = 1 + all.choose(10, "datagrams at once");
            for (std::uint32_t sent = 0; sent < count; ++sent)
                group.spawn(say_datagram(all, to, said.begin(all)));
            if (all.healed || all.choose(4, "cancel") != 0) co_return;
            const std::uint32_t turns = all.choose(4, "turns before the cancellation");
            for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
            group.cancel();
        });
    }
}

inline task<> datagram_pair(town& all) {
    const auto ports = static_cast<std::uint16_t>(20'000 + 2 * all.next_pair());
    const endpoint one("127.0.0.1", ports);
    const endpoint other("127.0.0.1", static_cast<std::uint16_t>(ports + 1));
    auto near = chainring::udp_socket::connect(other, one);
    auto far = chainring::udp_socket::connect(one, other);
    if (!near || !far) {
        CHECK(all.is_expected_of_connect(near ? far.error() : near.error()));
        co_return;
    }
    const bool in_order =
        all.world.knobs().overtaken_datagram == 0; // now: it heals, and some are on their way
    datagrams_said up;
    datagrams_said down;
    co_await scope([&](task_group& group) -> task<> {
        group.spawn(hear_datagrams(all, *far, up, &down));
        group.spawn(hear_datagrams(all, *near, down, nullptr));
        co_await say_datagrams(all, *near, up);
    });
    up.check(in_order);
    down.check(in_order);
    must(co_await near->close());
    must(co_await far->close());
}

} // namespace chainring::test::mixed
