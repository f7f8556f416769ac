// asio_embedding: an executor within a boost::asio::io_context.
//
//     boost::asio::io_context loop;
//     cr::executor home;
//     cr::asio_embedding embedded(home, loop);
//     cr::spawn(home, serve(at), [&](cr::ended_task<void>) { embedded.stop(); });
//     loop.run();
//
// It waits in the context, which so has outstanding work: `loop.run()` returns after `stop` (or `loop.stop()`). One thread may run
// the context, the one that made the embedding; on another one `loop.run()` throws std::logic_error. Destroy the
// executor, the embedding and the context in any order.
#pragma once

#include <chainring/runtime/embedding.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>

namespace chainring {

class asio_embedding final : public embedding {
  public:
    // On the loop's thread. Throws what embedding and Asio do.
    asio_embedding(executor& home, boost::asio::io_context& loop)
        : embedding(home) {
        auto made = std::make_shared<waits>(loop, *this);
        made->wake_up.assign(handle());
        waits_ = made;
        await_wake_up(made);
        go_on(made); // for what was there before
    }
    ~asio_embedding() { stop(); }

  private:
    using error_code = boost::system::error_code;

    // Owned by the handlers that wait in the context, and so gone with the context at the latest.
    struct waits {
        waits(boost::asio::io_context& loop, asio_embedding& given)
            : wake_up(loop)
            , deadline(loop)
            , owner(&given) {}
        ~waits() { let_go(); }
        waits(const waits&) = delete;
        waits& operator=(const waits&) = delete;

        void let_go() noexcept {
            owner = nullptr;
            if (wake_up.is_open()) (void)wake_up.release(); // the handle is the executor's
        }

        boost::asio::posix::stream_descriptor wake_up;
        boost::asio::steady_timer deadline;
        asio_embedding* owner; // nullptr: it has stopped
    };
    using shared_waits = std::shared_ptr<waits>;

    static void await_wake_up(const shared_waits& own) {
        own->wake_up.async_wait(
            boost::asio::posix::descriptor_base::wait_read, [own](const error_code& error) {
                if (error || own->owner == nullptr) return;
                own->owner->run(own);
                if (own->owner != nullptr) await_wake_up(own); // now that the handle is not readable any more
            });
    }
    static void go_on(const shared_waits& own) {
        boost::asio::post(own->wake_up.get_executor(), [own] {
            if (own->owner != nullptr) own->owner->run(own);
        });
    }
    static void await_deadline(const shared_waits& own, time_point due) {
        own->deadline.expires_at(due); // ends the wait for a later one
        own->deadline.async_wait([own](const error_code& error) {
            if (error || own->owner == nullptr) return;
            own->owner->timer_has_fired();
            own->owner->run(own);
        });
    }

    void run(const shared_waits& own) {
        const bool more = pump();
        if (stopped()) return;
        if (more)
            go_on(own);
        else if (const std::optional<time_point> due = earlier_deadline())
            await_deadline(own, *due);
    }

    void leave_loop() noexcept override {
        const shared_waits own = waits_.lock();
        if (own == nullptr) return; // the context was destroyed
        own->let_go();
        own->deadline.cancel();
    }

    std::weak_ptr<waits> waits_;
};

} // namespace chainring
