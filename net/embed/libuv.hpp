// uv_embedding: an executor within a libuv loop.
//
//     cr::executor home;
//     cr::uv_embedding embedded(home, uv_default_loop());
//     cr::spawn(home, serve(at), [&](cr::ended_task<void>) { embedded.stop(); });
//     uv_run(uv_default_loop(), UV_RUN_DEFAULT);
//
// Its handles are active: uv_run returns after `stop` (or uv_stop). `stop` closes them, which libuv completes in its next
// iteration, so run the loop once more before uv_loop_close, which otherwise says UV_EBUSY, as with any handle. Destroy the executor
// and the embedding in any order, both of them before the loop is closed. A loop that runs on another thread than the one that made
// the embedding ends the program by the std::logic_error of executor::pump, which cannot pass through libuv.
#pragma once

#include <chainring/runtime/embedding.hpp>

#include <uv.h>

#include <algorithm>
#include <memory>

namespace chainring {

class uv_embedding final : public embedding {
  public:
    // On the loop's thread. Throws what embedding does, and std::system_error where libuv takes no further descriptor.
    uv_embedding(executor& home, uv_loop_t* loop)
        : embedding(home) {
        auto made = std::make_unique<handles>();
        // First: where it fails there is nothing to close yet.
        const int watched = uv_poll_init(loop, &made->wake_up, handle());
        if (watched != 0) throw std::system_error(from_errno(-watched), "uv_poll_init");
        uv_timer_init(loop, &made->deadline);
        uv_idle_init(loop, &made->more);
        made->owner = this;
        made->wake_up.data = made->deadline.data = made->more.data = made.get();
        handles_ = made.release();
        uv_poll_start(&handles_->wake_up, UV_READABLE, [](uv_poll_t* woken, int, int) {
            run(*static_cast<handles*>(woken->data));
        });
        go_on(); // for what was there before
    }
    ~uv_embedding() { stop(); }

  private:
    // They live until libuv has closed them.
    struct handles {
        uv_poll_t wake_up;
        uv_timer_t deadline;
        uv_idle_t more; // active: the loop does not wait
        uv_embedding* owner = nullptr;
        int open = 3;
    };

    static void run(handles& own) noexcept { own.owner->run(); }

    void run() noexcept {
        const bool more = pump();
        if (stopped()) return;
        if (more) {
            go_on();
            return;
        }
        uv_idle_stop(&handles_->more);
        const std::optional<time_point> due = earlier_deadline();
        if (!due) return;
        uv_update_time(
            handles_->deadline.loop); // timers count from the loop's own time, which may be old by now
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(*due - time_point::clock::now()).count();
        const auto delay = static_cast<std::uint64_t>(std::max<decltype(left)>(left, 0));
        uv_timer_start(
            &handles_->deadline,
            [](uv_timer_t* fired) {
                handles& own = *static_cast<handles*>(fired->data);
                own.owner->timer_has_fired();
                run(own);
            },
            delay, 0);
    }
    void go_on() noexcept {
        uv_idle_start(&handles_->more, [](uv_idle_t* active) { run(*static_cast<handles*>(active->data)); });
    }

    void leave_loop() noexcept override {
        const auto closed = [](uv_handle_t* handle) {
            auto* const own = static_cast<handles*>(handle->data);
            if (--own->open == 0) delete own;
        };
        // A handle that is closing calls nothing but this.
        uv_close(reinterpret_cast<uv_handle_t*>(&handles_->wake_up), closed);
        uv_close(reinterpret_cast<uv_handle_t*>(&handles_->deadline), closed);
        uv_close(reinterpret_cast<uv_handle_t*>(&handles_->more), closed);
        handles_ = nullptr;
    }

    handles* handles_ = nullptr;
};

} // namespace chainring
