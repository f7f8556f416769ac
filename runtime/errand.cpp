#include <chainring/runtime/errand.hpp>
#include <chainring/runtime/executor.hpp>

#include <condition_variable>
#include <mutex>

namespace chainring {

namespace {

// Errands are rare: one place for all of the process.
struct desk {
    std::mutex mutex;
    std::condition_variable changed;
    intrusive_list<errand, errand_tag> waiting; // sent, and not begun
};

// Never destroyed: executors may be, later.
desk& the_desk() {
    static auto& instance = *new desk;
    return instance;
}

} // namespace

void errand::send_and_wait(executor& to) noexcept {
    to_ = &to;
    if (to.is_on_this_thread()) {
        do_here(stack::in_use);
        if (finished_) return;
    }
    desk& here = the_desk();
    std::unique_lock lock(here.mutex);
    if (!to.is_on_this_thread()) {
        here.waiting.push_back(*this);
        to.post(static_cast<posted_work&>(*this));
        here.changed.notify_all(); // that thread may wait itself
    }
    while (!finished_) {
        errand* for_this_thread = nullptr;
        here.waiting.for_each([&for_this_thread](errand& each) {
            if (for_this_thread == nullptr && each.to_->is_on_this_thread()) for_this_thread = &each;
        });
        if (for_this_thread == nullptr) {
            here.changed.wait(lock);
            continue;
        }
        static_cast<list_node<errand_tag>&>(*for_this_thread).unlink();
        for_this_thread->to_->withdraw(*for_this_thread);
        lock.unlock();
        for_this_thread->do_here(stack::in_use);
        lock.lock();
    }
}

void errand::run() noexcept {
    {
        const std::lock_guard lock(the_desk().mutex); // whoever posted it has left the inbox then
        static_cast<list_node<errand_tag>&>(*this).unlink();
    }
    do_here(stack::empty);
}

void errand::do_here(stack below) noexcept {
    executor& there = *to_;
    const executor::on_its_thread here(there);
    if (!carry_out(below)) there.post(static_cast<posted_work&>(*this));
}

void errand::finish() noexcept {
    desk& here = the_desk();
    const std::lock_guard lock(here.mutex);
    finished_ = true;
    here.changed.notify_all();
}

} // namespace chainring
