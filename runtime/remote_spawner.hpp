// remote_spawner: spawning into a group, and cancelling it, from another thread.
//
//     co_await cr::scope([](cr::task_group& group) -> cr::task<> {
//         std::jthread([remote = group.remote()] { remote.spawn([]() -> cr::task<> { ... }); }).detach();
//         co_return;
//     });
#pragma once

#include <chainring/runtime/task_group.hpp>

#include <memory>
#include <mutex>
#include <type_traits>

namespace chainring {

// What the handles of one `task_group::remote()` share. Its last handle posts it, and it dies on the executor's
// thread; or at once if the group is gone, since the executor may be gone too.
class remote_link final : public list_node<remote_tag>, private posted_work {
  public:
    explicit remote_link(task_group& group) noexcept
        : home_(&group.scope().home())
        , group_(&group) {}

    // False: there is no group any more, and the work stays the caller's.
    bool post(posted_work& work) noexcept {
        const std::lock_guard lock(mutex_);
        if (home_ == nullptr) return false;
        home_->post(work);
        return true;
    }
    void release() noexcept {
        if (!post(*this)) delete this;
    }
    task_group* group() const noexcept { return group_; } // nullptr: destroyed. On the executor's thread

  private:
    friend task_group;
    ~remote_link() = default;
    // On the executor's thread, when the link is in the group's list no more.
    void group_ended() noexcept {
        const std::lock_guard lock(mutex_);
        group_ = nullptr;
        home_ = nullptr;
    }
    void run() noexcept override {
        unlink();
        if (group_ != nullptr) group_->one_less();
        delete this;
    }

    std::mutex mutex_; // of home_
    executor* home_;   // nullptr: the group has been destroyed
    task_group* group_;
};

// Copies share the group, which is not joined as long as one of them exists; so an executor's run does not return
// before they are gone, unless it gives its task up at a hard deadline: then they may outlive it.
class remote_spawner {
  public:
    // The child is `make()`, a task<> or a task<result<void>>, called on the executor's thread; `make` lives until the child has ended. Any
    // thread; never waits for the executor. In a group that was cancelled the child is born cancelled, in one that was destroyed it
    // never runs.
    template <class Make> void spawn(Make make) const {
        post([given = std::move(make)](task_group& group) mutable { group.spawn(made(std::move(given))); });
    }
    // Cancels the children, and of a scope the body too. Any thread; never waits for the executor.
    void cancel() const {
        post([](task_group& group) { group.cancel_from_elsewhere(); });
    }

  private:
    friend task_group;
    explicit remote_spawner(remote_link* link)
        : link_(link, [](remote_link* last) { last->release(); }) {}

    // `work(group)` on the executor's thread, if there is a group still.
    template <class Work> void post(Work work) const {
        struct request final : posted_work {
            std::shared_ptr<remote_link> link;
            Work work;
            request(std::shared_ptr<remote_link> to, Work&& given)
                : link(std::move(to))
                , work(std::move(given)) {}
            void run() noexcept override {
                const std::unique_ptr<request> self(this);
                if (task_group* group = link->group()) work(*group);
            }
        };
        auto posted = std::make_unique<request>(link_, std::move(work));
        if (link_->post(*posted)) (void)posted.release();
    }
    template <class Make> static std::invoke_result_t<Make&> made(Make make) { co_return co_await make(); }

    std::shared_ptr<remote_link> link_;
};

inline remote_spawner task_group::remote() {
    auto* link = new remote_link(*this);
    remotes_.push_back(*link);
    return remote_spawner(link);
}

} // namespace chainring
