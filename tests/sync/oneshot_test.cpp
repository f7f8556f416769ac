#include "executors.hpp"
#include "runtime/steps.hpp"

#include <memory>
#include <optional>
#include <stdexcept>

using namespace chainring;
using namespace chainring::test;

TEST_CASE("a_oneshot_brings_one_value_or_the_news_that_none_will_come") {
    executor used({}, test_kernel());
    used.run([]() -> task<> {
        oneshot<std::unique_ptr<int>> answer;
        auto sender = answer.take_sender();
        CHECK_THROWS_AS((void)answer.take_sender(), std::logic_error);
        CHECK(answer.try_receive().error() == errc::queue_empty);
        const result<void> sent = sender.send(std::make_unique<int>(7));
        CHECK(sent.has_value());
        const auto value = co_await answer.receive();
        REQUIRE(value.has_value());
        CHECK(**value == 7);
        const auto second = co_await answer.receive();
        CHECK(second.error() == errc::closed);

        oneshot<int> never;
        std::optional<oneshot_sender<int>> gone(never.take_sender());
        task_group group(co_await this_scope{});
        std::error_code told;
        group.spawn([](auto& from, std::error_code& error) -> task<> {
            const result<int> none = co_await from.receive();
            error = none.error();
        }(never, told));
        co_await everybody_waits();
        gone.reset();
        co_await group.join();
        CHECK(told == errc::closed);

        std::optional<oneshot<int>> not_wanted(std::in_place);
        auto too_late = not_wanted->take_sender();
        not_wanted.reset();
        CHECK(too_late.send(1) == failure(errc::closed));
    }());
    check_baseline(used);
}

TEST_CASE("a_oneshot_answers_across_executors", "[linux]") {
    static constexpr int rounds = optimized ? 2000 : 200;
    channel<oneshot_sender<int>> asked(4);
    std::atomic<long> sum = 0;
    on_executors(2, [&](int number) -> task<> {
        if (number == 0) {
            for (int round = 0; round < rounds; ++round) {
                oneshot<int> answer;
                (void)co_await asked.send(answer.take_sender());
                const result<int> value = co_await answer.receive();
                if (value) sum += *value;
            }
            asked.close();
        } else {
            int next = 0;
            while (auto sender = co_await asked.receive()) (void)sender->send(++next);
        }
    });
    CHECK(sum == long{rounds} * (rounds + 1) / 2);
}
