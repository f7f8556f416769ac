// glib_embedding: an executor within a GLib main context.
//
//     cr::executor home;
//     cr::glib_embedding embedded(home);
//     cr::spawn(home, serve(at), [&](cr::ended_task<void>) { g_main_loop_quit(loop); });
//     g_main_loop_run(loop);
//
// Destroy the executor, the embedding and the context in any order. A context that another thread iterates than the one that made
// the embedding ends the program by the std::logic_error of executor::pump, which cannot pass through GLib.
#pragma once

#include <chainring/runtime/embedding.hpp>

#include <glib.h>

namespace chainring {

class glib_embedding final : public embedding {
  public:
    // `context` nullptr: the default one. On the thread that iterates it. Throws what embedding does.
    explicit glib_embedding(executor& home, GMainContext* context = nullptr)
        : embedding(home)
        , source_(g_source_new(&functions_, sizeof(source))) {
        reinterpret_cast<source*>(source_)->owner = this;
        g_source_set_static_name(source_, "chainring");
        g_source_add_unix_fd(source_, handle(), G_IO_IN);
        wake_at(at_once); // for what was there before
        g_source_attach(source_, context);
    }
    ~glib_embedding() { stop(); }

  private:
    struct source {
        GSource base;
        glib_embedding* owner;
    };

    static constexpr gint64 at_once = 0;
    static constexpr gint64 never = -1;

    static gboolean dispatch(GSource* dispatched, GSourceFunc, gpointer) noexcept {
        reinterpret_cast<source*>(dispatched)->owner->run();
        return G_SOURCE_CONTINUE;
    }

    void run() {
        const bool more = pump();
        if (stopped()) return;
        const std::optional<time_point> next = next_deadline();
        // Both clocks are CLOCK_MONOTONIC.
        wake_at(
            more    ? at_once
            : !next ? never
                    : std::chrono::ceil<std::chrono::microseconds>(next->time_since_epoch()).count());
    }
    void wake_at(gint64 microseconds) {
        if (microseconds == wakes_at_) return;
        wakes_at_ = microseconds;
        g_source_set_ready_time(source_, microseconds);
    }

    // A source that is destroyed is not dispatched any more, nor when its context is gone.
    void leave_loop() noexcept override {
        g_source_destroy(source_);
        g_source_unref(source_);
        source_ = nullptr;
    }

    static inline GSourceFuncs functions_{
        .prepare = nullptr,
        .check = nullptr,
        .dispatch = dispatch,
        .finalize = nullptr,
        .closure_callback = nullptr,
        .closure_marshal = nullptr};

    GSource* source_;
    gint64 wakes_at_ = never;
};

} // namespace chainring
