// when_any, race_success and timeout around connect, accept, send and receive, with cancellations from without: each of
// them ends, no loser keeps a descriptor or loses what it has done, and no byte goes astray.
#include "mixed_conversation.hpp"

using namespace chainring;
using namespace chainring::test;
using namespace std::chrono_literals;

namespace {

using mixed::conversation;
using mixed::one_way;
using mixed::town;

constexpr std::uint64_t racing_seeds = 300;
constexpr duration longest_races = 10min; // of virtual time

template <class Over> endpoint racing_address(unsigned which) {
    if constexpr (Over::tcp)
        return {"127.0.0.1", static_cast<std::uint16_t>(7000 + which)};
    else
        return endpoint::from_abstract_name("race-" + std::to_string(which)).value();
}

duration a_while(town& all) {
    return all.up_to_milliseconds(3, "a while");
}

task<> rest(duration time) {
    (void)co_await chainring::sleep(time);
}

// Of a task that may be cancelled at any time: what was sent is known all the same.
template <class Stream> task<bool> send_told(Stream& to, one_way& way, std::string text) {
    one_way::message& message = way.begin(text);
    auto sending = to.send(std::move(text));
    const auto outcome = co_await sending;
    const bool goes_on = mixed::told(message, outcome, sending.sent());
    if (!outcome) CHECK(mixed::is_expected(outcome.error()));
    co_return goes_on && (outcome || sending.sent() == 0);
}

// Receives in a race against time, or against nothing. False: the connection is over.
template <class Stream> task<bool> receive_in_race(town& all, Stream& from, std::string& heard, bool& ended) {
    result<buffer> chunk = failure(errc::cancelled);
    switch (all.choose(3, "how to receive")) {
    case 0: {
        auto raced = co_await when_any(from.receive(), chainring::sleep(a_while(all)));
        chunk = std::move(std::get<0>(raced.outcomes));
        break;
    }
    case 1: {
        auto raced = co_await when_any(rest(a_while(all)), timeout(a_while(all), from.receive()));
        chunk = std::move(std::get<1>(raced.outcomes));
        break;
    }
    default: chunk = co_await timeout(a_while(all), from.receive()); break;
    }
    if (chunk) {
        heard = std::string(chunk->text());
        ended = chunk->empty();
        co_return !ended;
    }
    CHECK(mixed::is_expected(chunk.error()));
    co_return chunk.error() == errc::timed_out || chunk.error() == errc::cancelled;
}

template <class Stream> task<bool> send_in_race(town& all, Stream& to, one_way& way) {
    const std::uint32_t longest = all.one_in(15, "a long message") ? 200'000 : 1500;
    std::string text = all.new_text(1 + all.choose(longest, "size of a message"));
    switch (all.choose(3, "how to send")) {
    case 0: {
        const auto raced =
            co_await when_any(send_told(to, way, std::move(text)), chainring::sleep(a_while(all)));
        co_return std::get<0>(raced.outcomes).value_or(false);
    }
    case 1: {
        // Two at once, of which the first that ends takes the other one with it.
        std::string other = all.new_text(1 + all.choose(1500, "size of a message"));
        const auto raced = co_await timeout(
            a_while(all),
            when_any(send_told(to, way, std::move(text)), send_told(to, way, std::move(other))));
        const bool first = std::get<0>(raced.outcomes).value_or(false);
        const bool second = std::get<1>(raced.outcomes).value_or(false);
        co_return first&& second;
    }
    default: {
        const bool sent = co_await timeout(a_while(all), send_told(to, way, std::move(text)));
        co_return sent;
    }
    }
}

// Until either side has had enough, or this task is cancelled.
template <class Stream> task<> talk(town& all, Stream stream, conversation* with, bool is_client) {
    std::string first;
    bool goes_on = true;
    if (is_client) goes_on = co_await send_told(stream, with->up, all.number_of_last());
    const std::uint32_t rounds = all.choose(8, "rounds");
    for (std::uint32_t round = 0; goes_on && round < rounds; ++round) {
        if (with != nullptr && all.choose(2, "send or receive") == 0) {
            one_way& way = is_client ? with->up : with->down;
            goes_on = co_await send_in_race(all, stream, way);
            continue;
        }
        std::string heard;
        bool ended = false;
        goes_on = co_await receive_in_race(all, stream, heard, ended);
        if (with == nullptr) {
            first += heard;
            if (first.size() < town::size_of_number) continue;
            with = &all.find(first);
            heard = std::move(first);
        }
        one_way& way = is_client ? with->down : with->up;
        way.received(heard);
        if (ended) way.ended();
    }
    if (all.choose(3, "abort") == 2) stream.abort();
    const auto closed = co_await timeout(a_while(all), stream.close());
    if (!closed) CHECK(mixed::is_expected(closed.error()));
}

template <class Awaitable> task<> await_and_drop(Awaitable awaited) {
    (void)co_await std::move(awaited);
}

// The task that waits dies where it stands, be it that what it waits for has come.
template <class Awaitable> task<> destroy_while_it_waits(town& all, Awaitable awaited) {
    cancel_scope& mine = co_await this_scope{};
    task_group doomed(mine);
    doomed.spawn(await_and_drop(std::move(awaited)));
    const std::uint32_t turns = 1 + all.choose(4, "turns before the destruction");
    for (std::uint32_t turn = 0; turn < turns; ++turn) co_await one_turn();
}

template <class Stream> task<> call(town& all, result<Stream> connected) {
    if (!connected) {
        CHECK(mixed::is_expected_of_connect(connected.error()));
        co_return;
    }
    conversation& with = all.begin();
    co_await talk(all, std::move(*connected), &with, true);
}

template <class Over> task<> caller(town& all) {
    using stream = typename Over::stream;
    const std::uint32_t calls = 1 + all.choose(4, "calls");
    for (std::uint32_t made = 0; made < calls; ++made) {
        switch (all.choose(4, "how to connect")) {
        case 0: {
            auto raced =
                co_await when_any(stream::connect(racing_address<Over>(0)), chainring::sleep(a_while(all)));
            co_await call(all, std::move(std::get<0>(raced.outcomes)));
            break;
        }
        case 1: { // the loser may have connected too
            auto raced = co_await race_success(
                stream::connect(racing_address<Over>(0)), stream::connect(racing_address<Over>(1)));
            co_await call(all, std::move(std::get<1>(raced.outcomes)));
            co_await call(all, std::move(std::get<0>(raced.outcomes)));
            break;
        }
        case 2: {
            auto connecting = stream::connect(racing_address<Over>(0));
            co_await destroy_while_it_waits(all, std::move(connecting));
            break;
        }
        default: {
            auto connected = co_await timeout(a_while(all), stream::connect(racing_address<Over>(1)));
            co_await call(all, std::move(connected));
            break;
        }
        }
    }
}

template <class Stream> task<> answer(town& all, result<Stream> accepted, task_group& sessions) {
    if (accepted) sessions.spawn(talk(all, std::move(*accepted), nullptr, false));
    co_return;
}

template <class Over> task<> accept_in_races(town& all, typename Over::listener& at, task_group& sessions) {
    const std::uint32_t rounds = all.choose(12, "rounds of accepting");
    for (std::uint32_t round = 0; round < rounds; ++round) {
        switch (all.choose(5, "how to accept")) {
        case 0: {
            auto raced = co_await when_any(at.accept(), chainring::sleep(a_while(all)));
            co_await answer(all, std::move(std::get<0>(raced.outcomes)), sessions);
            break;
        }
        case 1: { // ahead of who takes them, for a while
            auto connections = at.connections();
            auto raced = co_await when_any(connections.next(), rest(a_while(all)));
            co_await answer(all, std::move(std::get<0>(raced.outcomes)), sessions);
            break;
        }
        case 2: co_await destroy_while_it_waits(all, at.accept()); break;
        case 3: { // for nobody
            const auto connections = at.connections();
            co_await rest(a_while(all));
            break;
        }
        default: {
            auto accepted = co_await timeout(a_while(all), at.accept());
            co_await answer(all, std::move(accepted), sessions);
            break;
        }
        }
    }
    // Who still waits is refused, and who is accepted for nobody just then is closed.
    const auto connections = at.connections();
    if (all.choose(2, "accept ahead at the end") == 1) co_await rest(a_while(all));
    (void)co_await at.close();
}

template <class Over> task<> race_and_cancel(town& all) {
    listen_options options;
    options.backlog = static_cast<int>(all.choose(3, "backlog"));
    auto first = must(Over::listener::bind(racing_address<Over>(0), options));
    auto second = must(Over::listener::bind(racing_address<Over>(1), options));
    co_await scope([&](task_group& sessions) -> task<> {
        sessions.spawn(accept_in_races<Over>(all, first, sessions));
        sessions.spawn(accept_in_races<Over>(all, second, sessions));
        co_await scope([&](task_group& callers) -> task<> {
            const std::uint32_t count = 1 + all.choose(5, "callers");
            for (std::uint32_t made = 0; made < count; ++made) callers.spawn(caller<Over>(all));
            if (!all.one_in(3, "everybody is cancelled")) co_return;
            co_await rest(all.up_to_milliseconds(10, "when"));
            callers.cancel();
        });
        if (all.one_in(4, "the servers are cancelled too")) sessions.cancel();
    });
    if (first.is_open()) (void)co_await first.close(); // its task was cancelled before it could
    if (second.is_open()) (void)co_await second.close();
}

// The listener is there, and its backlog is full for good.
template <class Over> task<> connect_where_nobody_accepts(sim::world& world) {
    town all(world);
    listen_options options;
    options.backlog = 0;
    const auto idle = must(Over::listener::bind(racing_address<Over>(0), options));
    co_await scope([&](task_group& callers) -> task<> {
        for (int made = 0; made < 4; ++made) {
            callers.spawn([](town& of) -> task<> {
                const auto connected =
                    co_await timeout(a_while(of), Over::stream::connect(racing_address<Over>(0)));
                if (!connected) CHECK(connected.error() == errc::timed_out);
            }(all));
        }
        co_return;
    });
}

// Callers that come all at once, while the submission queue may be full of the others' connects: each gets to the one that it
// calls.
template <class Over> task<> connect_all_at_once(sim::world&) {
    std::vector<typename Over::listener> listeners;
    constexpr unsigned count = 3;
    for (unsigned number = 0; number < count; ++number)
        listeners.push_back(must(Over::listener::bind(racing_address<Over>(number))));
    co_await scope([](task_group& callers) -> task<> {
        for (unsigned made = 0; made < 4 * count; ++made) {
            callers.spawn([](endpoint to) -> task<> {
                const auto connected = must(co_await Over::stream::connect(to));
                CHECK(must(connected.peer()) == to);
            }(racing_address<Over>(made % count)));
        }
        co_return;
    });
}

template <class Over> task<> racing_world(sim::world& world) {
    town all(world);
    // No timeout, whose cancellation might end what hangs: a deadlock tells what everybody waits for.
    const time_point begun = world.now();
    co_await race_and_cancel<Over>(all);
    CHECK(world.now() - begun < longest_races);
    all.check_all();
}

} // namespace

TEMPLATE_TEST_CASE("whatever_races_and_is_cancelled_ends_and_loses_nothing", "", EACH_TRANSPORT) {
    sim::each_seed(fewer(racing_seeds), [](sim::world& world) { in_world(world, racing_world<TestType>); });
}

TEMPLATE_TEST_CASE("a_connect_that_waits_for_a_full_backlog_can_be_cancelled", "", EACH_TRANSPORT) {
    sim::each_seed(fewer(racing_seeds), [](sim::world& world) {
        in_world(world, connect_where_nobody_accepts<TestType>);
    });
}

TEMPLATE_TEST_CASE("who_connects_beside_others_gets_to_whom_it_calls", "", EACH_TRANSPORT) {
    sim::each_seed(
        fewer(racing_seeds), [](sim::world& world) { in_world(world, connect_all_at_once<TestType>); });
}
