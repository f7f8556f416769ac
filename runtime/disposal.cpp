#include <chainring/runtime/disposal.hpp>
#include <chainring/runtime/executor.hpp>

#include <utility>

namespace chainring {

// On its way to being closed.
class disposal::disposed_file final : public completion {
  public:
    disposed_file(disposal& by, file_handle file, direct_place&& place) noexcept
        : by_(by)
        , file_(file)
        , place_(std::move(place)) {}

    void submit() {
        by_.home_.submit(*this, [this](io_uring_sqe& sqe) { prepare_close(sqe, file_); });
    }
    void complete(const io_uring_cqe&) noexcept override {
        executor& home = by_.home_;
        ++home.counters().descriptors_closed;
        --by_.descriptors_;
        place_.end();
        home.close_ended();
        delete this;
    }

  private:
    disposal& by_;
    file_handle file_;
    direct_place place_;
};

void disposal::begin(file_handle file, direct_place&& place) noexcept {
    ++home_.counters().descriptors_opened;
    ++descriptors_;
    home_.close_begun();
    to_close_.push_back(new disposed_file(*this, file, std::move(place)));
    home_.at_turn_end(*this);
}

void disposal::at_turn_end() noexcept {
    for (disposed_file* const each : std::exchange(to_close_, {})) each->submit();
}

} // namespace chainring
