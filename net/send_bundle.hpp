// A batch of a stream as buffers of a ring, of which one send takes all (Linux 6.10).
#pragma once

#include <chainring/runtime/executor.hpp>
#include <chainring/runtime/provided_ring.hpp>

namespace chainring {

class send_bundle {
  public:
    static constexpr std::uint32_t most_buffers = 256; // the kernel takes no more at once

    explicit send_bundle(executor& home);
    ~send_bundle() { close(); }
    send_bundle(const send_bundle&) = delete;
    send_bundle& operator=(const send_bundle&) = delete;

    // errors: std::errc::operation_not_supported; those of the registration
    fault open() noexcept;

    // Fills the ring and the SQE, whose flags stay. False: it cannot carry that many pieces.
    bool may_carry(const msghdr& pieces) noexcept;
    void prepare(io_uring_sqe& sqe, int descriptor, const msghdr& pieces, int flags) noexcept;

    // The kernel may tell of one batch in several CQEs. What the batch has come to, once it has told of all.
    void moved(const io_uring_cqe& part) noexcept { moved_ += part.res; }
    int result_of(const io_uring_cqe& last) noexcept;

  private:
    void close() noexcept;

    executor& home_;
    provided_ring buffers_;
    std::uint16_t group_ = 0;
    bool open_ = false;
    bool holds_a_rest_ = false; // buffers of a batch that fell short
    int moved_ = 0;             // bytes
    int size_ = 0;              // bytes of the batch
};

} // namespace chainring
