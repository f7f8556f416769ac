// The loops that an executor may be embedded in, each with what a test does with it:
//
//     run_until(done)     iterations of the loop, each of which may sleep; a wake-up that was lost fails the test
//     look_around()       one iteration that does not sleep
//     call_soon(f)        an event of the loop's own
//     embedded()          the embedding; `leave()` destroys it
//     end()               destroys the loop, before or after the embedding
#pragma once

#include "support.hpp"

#include <chainring/net/embed/epoll.hpp>
#include <chainring/runtime/spawn.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#ifdef WITH_ASIO
#include <chainring/net/embed/asio.hpp>
#endif
#ifdef WITH_GLIB
#include <chainring/net/embed/glib.hpp>
#endif
#ifdef WITH_LIBUV
#include <chainring/net/embed/libuv.hpp>
#endif

namespace chainring::test {

inline constexpr std::chrono::seconds patience{30}; // until the watchdog says that a wake-up was lost

// What the hosts share. Their constructors delegate: an embedding that is refused leaves nothing behind.
template <class Embedding> class host {
  public:
    static constexpr bool may_end_first = true; // before the embedding

    Embedding& embedded() { return *embedded_; }
    void leave() { embedded_.reset(); }

  protected:
    std::optional<Embedding> embedded_;
};

class epoll_host final : public host<epoll_embedding> {
  public:
    explicit epoll_host(executor& home)
        : epoll_host() {
        embedded_.emplace(home, epoll_);
    }
    ~epoll_host() {
        end();
        ::close(own_);
    }

    void run_until(const std::function<bool()>& done) {
        while (!done())
            if (!iterate(static_cast<int>(std::chrono::milliseconds(patience).count())))
                FAIL("the loop was not woken");
    }
    void look_around() { iterate(0); }
    void call_soon(std::function<void()> called) {
        calls_.push_back(std::move(called));
        ::eventfd_write(own_, 1);
    }
    void end() { ::close(std::exchange(epoll_, -1)); }

  private:
    epoll_host() {
        epoll_event woken{.events = EPOLLIN, .data = {.fd = own_}};
        REQUIRE(::epoll_ctl(epoll_, EPOLL_CTL_ADD, own_, &woken) == 0);
    }

    bool iterate(int longest) {
        epoll_event events[4];
        const int timeout = embedded_ ? embedded_->timeout(longest) : longest;
        const int count = ::epoll_wait(epoll_, events, 4, timeout);
        for (const epoll_event& event : std::span(events, static_cast<std::size_t>(std::max(count, 0)))) {
            if (embedded_ && embedded_->takes(event)) continue;
            eventfd_t value = 0;
            ::eventfd_read(own_, &value);
            for (const auto& called : std::exchange(calls_, {})) called();
        }
        if (embedded_) embedded_->run();
        return count != 0 || timeout != longest;
    }

    int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    int own_ = ::eventfd(0, EFD_CLOEXEC);
    std::deque<std::function<void()>> calls_;
};

#ifdef WITH_ASIO
class asio_host final : public host<asio_embedding> {
  public:
    explicit asio_host(executor& home) { embedded_.emplace(home, *loop_); }

    void run_until(const std::function<bool()>& done) {
        while (!done())
            if (loop_->run_one_for(patience) == 0) FAIL("the loop was not woken");
    }
    void look_around() { loop_->poll(); }
    void call_soon(std::function<void()> called) { boost::asio::post(*loop_, std::move(called)); }
    void end() { loop_.reset(); }

    boost::asio::io_context& loop() { return *loop_; }

  private:
    // Behind the embedding, so destroyed before it.
    std::unique_ptr<boost::asio::io_context> loop_ = std::make_unique<boost::asio::io_context>();
};
#define ASIO_HOST , asio_host
#else
#define ASIO_HOST
#endif

#ifdef WITH_GLIB
class glib_host final : public host<glib_embedding> {
  public:
    explicit glib_host(executor& home)
        : glib_host() {
        embedded_.emplace(home, context_);
    }
    ~glib_host() { end(); }

    void run_until(const std::function<bool()>& done) {
        bool late = false;
        GSource* const watchdog = g_timeout_source_new_seconds(patience.count());
        g_source_set_callback(
            watchdog,
            [](gpointer flag) -> gboolean {
                *static_cast<bool*>(flag) = true;
                return G_SOURCE_REMOVE;
            },
            &late, nullptr);
        g_source_attach(watchdog, context_);
        while (!done() && !late) g_main_context_iteration(context_, TRUE);
        g_source_destroy(watchdog);
        g_source_unref(watchdog);
        if (late) FAIL("the loop was not woken");
    }
    void look_around() { g_main_context_iteration(context_, FALSE); }
    void call_soon(std::function<void()> called) {
        GSource* const idle = g_idle_source_new();
        g_source_set_priority(idle, G_PRIORITY_DEFAULT);
        g_source_set_callback(
            idle,
            [](gpointer function) -> gboolean {
                (*static_cast<std::function<void()>*>(function))();
                return G_SOURCE_REMOVE;
            },
            new std::function<void()>(std::move(called)),
            [](gpointer function) { delete static_cast<std::function<void()>*>(function); });
        g_source_attach(idle, context_);
        g_source_unref(idle);
    }
    void end() {
        if (context_ != nullptr) g_main_context_unref(std::exchange(context_, nullptr));
    }

  private:
    glib_host() = default;

    GMainContext* context_ = g_main_context_new();
};
#define GLIB_HOST , glib_host
#else
#define GLIB_HOST
#endif

#ifdef WITH_LIBUV
class uv_host final : public host<uv_embedding> {
  public:
    static constexpr bool may_end_first = false; // a loop with handles in it does not close

    explicit uv_host(executor& home)
        : uv_host() {
        embedded_.emplace(home, &loop_);
    }
    ~uv_host() {
        leave();
        end();
    }

    void run_until(const std::function<bool()>& done) {
        // Timers and idle handles run ahead of the wait, so it is before the wait that the loop has to stop.
        waiting_ = {.loop = &loop_, .done = &done};
        uv_update_time(&loop_);
        uv_timer_start(
            &watchdog_,
            [](uv_timer_t* fired) {
                auto& waiting = *static_cast<wait*>(fired->data);
                waiting.late = true;
                uv_stop(waiting.loop);
            },
            static_cast<std::uint64_t>(std::chrono::milliseconds(patience).count()), 0);
        uv_prepare_start(&about_to_wait_, [](uv_prepare_t* before) {
            auto& waiting = *static_cast<wait*>(before->data);
            if ((*waiting.done)()) uv_stop(waiting.loop);
        });
        uv_run(&loop_, UV_RUN_DEFAULT);
        uv_timer_stop(&watchdog_);
        uv_prepare_stop(&about_to_wait_);
        if (waiting_.late) FAIL("the loop was not woken");
    }
    void look_around() { uv_run(&loop_, UV_RUN_NOWAIT); }
    void call_soon(std::function<void()> called) {
        calls_.push_back(std::move(called));
        uv_async_send(&own_);
    }
    // Nothing of the embedding is left in the loop, or it could not be closed.
    void end() {
        if (std::exchange(ended_, true)) return;
        uv_close(reinterpret_cast<uv_handle_t*>(&watchdog_), nullptr);
        uv_close(reinterpret_cast<uv_handle_t*>(&about_to_wait_), nullptr);
        uv_close(reinterpret_cast<uv_handle_t*>(&own_), nullptr);
        uv_run(&loop_, UV_RUN_DEFAULT);
        CHECK(uv_loop_close(&loop_) == 0);
    }

  private:
    struct wait {
        uv_loop_t* loop = nullptr;
        const std::function<bool()>* done = nullptr;
        bool late = false;
    };

    uv_host() {
        REQUIRE(uv_loop_init(&loop_) == 0);
        uv_timer_init(&loop_, &watchdog_);
        uv_prepare_init(&loop_, &about_to_wait_);
        watchdog_.data = about_to_wait_.data = &waiting_;
        uv_async_init(&loop_, &own_, [](uv_async_t* woken) {
            for (const auto& called : std::exchange(static_cast<uv_host*>(woken->data)->calls_, {})) called();
        });
        own_.data = this;
    }

    uv_loop_t loop_{};
    uv_timer_t watchdog_{};
    uv_prepare_t about_to_wait_{};
    wait waiting_;
    uv_async_t own_{};
    std::deque<std::function<void()>> calls_;
    bool ended_ = false;
};
#define UV_HOST , uv_host
#else
#define UV_HOST
#endif

#define EVERY_HOST epoll_host ASIO_HOST GLIB_HOST UV_HOST

} // namespace chainring::test
