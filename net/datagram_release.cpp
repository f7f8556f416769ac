#include <chainring/net/datagram_release.hpp>

namespace chainring {

void datagram_release_operation::collect() noexcept {
    if (const fault cause = bound_->release_error()) released_.error = cause.code();
    released_.received = bound_->receiving().take_all();
    bound_->sending().hand_over_unsent([this](outgoing_message& message, std::vector<std::byte> payload) {
        const std::span<const std::byte> control = message.control();
        bool brings_descriptors = false;
        control_messages(control).for_each([&brings_descriptors](const control_message& each) {
            brings_descriptors |= each.level == SOL_SOCKET && each.type == SCM_RIGHTS;
            return true;
        });
        if (brings_descriptors) return;
        const endpoint* const to = message.destination();
        released_.unsent.push_back(
            {to != nullptr ? *to : endpoint(), std::move(payload), datagram_envelope::options_of(control)});
    });
}

} // namespace chainring
