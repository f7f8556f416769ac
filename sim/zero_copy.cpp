// How a simulated send ends: a zero-copy one twice, with its result and with the news that its memory is free again.
#include <chainring/sim/simulated_ring.hpp>

#include <utility>

namespace chainring::sim {

namespace {

std::string bytes_of(const request& sent) {
    std::string bytes;
    append(bytes, sent.pieces, 0, sent.done);
    return bytes;
}

} // namespace

simulated_ring::attempt simulated_ring::end_send(request& ended, int result, bool failed) {
    if (ended.sqe.opcode != IORING_OP_SEND_ZC) return end(ended, result, 0, failed);
    // One that has failed is followed by a notification or not, depending on the version of Linux.
    if (result < 0 && world_.choose(2, "a failed send notifies") == 0) return end(ended, result);
    auto waits = std::make_unique<request>(ended.sqe);
    waits->pieces = ended.pieces;
    waits->done = ended.done;
    waits->notifies = std::make_unique<notification>();
    waits->notifies->bytes = bytes_of(ended);
    if (result > 0 && world_.chance(world_.knobs().late_notification, "late notification"))
        waits->notifies->sent = static_cast<const connection_socket&>(*ended.target).sent_by_now();
    else
        waits->notifies->copied = result > 0 && world_.choose(2, "copied all the same") == 0;
    parked_.push_back(std::move(waits));
    return end(ended, result, IORING_CQE_F_MORE, failed);
}

simulated_ring::attempt simulated_ring::notify(request& waited) {
    if (bytes_of(waited) != waited.notifies->bytes)
        world_.fail("the memory of a zero-copy send changed before its notification: " + to_string(waited));
    const unsigned usage = waited.notifies->copied ? IORING_NOTIF_USAGE_ZC_COPIED : 0U;
    post(waited.sqe.user_data, static_cast<int>(usage), IORING_CQE_F_NOTIF);
    return attempt::ended;
}

} // namespace chainring::sim
