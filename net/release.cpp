#include <chainring/net/release.hpp>
#include <chainring/runtime/task_tree.hpp>

namespace chainring {

bool release_waiter::start(executor& home) noexcept {
    home_ = &home;
    if (socket_ == nullptr || !socket_->open())
        error_ = errc::closed;
    else
        error_ = socket_->release_to(*this, limit_);
    return !error_;
}

void release_waiter::describe(task_tree& to) const {
    to.waits("release of", waits() ? socket_->name() : "a descriptor that has been released");
}

release_waiter::~release_waiter() {
    if (!waits()) return;
    stop_waiting();
    socket_->release_unheard();
}

void release_operation::collect() noexcept {
    if (const fault broken = connection_->why_broken()) released_.error = broken.code();
    released_.received = connection_->take_received();
    released_.unsent = connection_->take_unsent();
}

socket_pointer<connection>
connection_of(executor& home, const socket_kind& kind, accepted_connection&& accepted) {
    const file_handle file = accepted.file();
    accepted.descriptor = -1;
    socket_pointer<connection> made(
        new connection(home, file, kind.type, std::move(accepted.counted), std::move(accepted.place)));
    if (kind.internet) made->learn_peer();
    return made;
}

} // namespace chainring
