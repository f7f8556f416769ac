// The memory of posted functions: cut on one thread, given back on any.
#include <chainring/runtime/post_memory.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <thread>
#include <vector>

using namespace chainring;

namespace {

constexpr std::size_t alignment_of_pieces = alignof(std::max_align_t);

// A piece that its number is written over, to see that nobody else writes there.
template <std::size_t size> class marked_piece {
  public:
    explicit marked_piece(std::uint32_t number)
        : number_(number)
        , piece_(post_memory::allocate<size, alignment_of_pieces>()) {
        std::ranges::fill(words(), number);
    }
    bool is_intact() const {
        return std::ranges::all_of(words(), [this](std::uint32_t word) { return word == number_; });
    }
    void give_back() const { post_memory::release<size, alignment_of_pieces>(piece_); }
    bool is_cut() const { return piece_.from != nullptr; }
    std::byte* begin() const { return static_cast<std::byte*>(piece_.memory); }

  private:
    std::span<std::uint32_t> words() const {
        return {static_cast<std::uint32_t*>(piece_.memory), size / sizeof(std::uint32_t)};
    }

    std::uint32_t number_;
    post_memory::piece piece_;
};

// Of all sizes that are cut from chunks, and of one that is not.
struct some_pieces {
    explicit some_pieces(std::uint32_t number)
        : smallest(number)
        , odd(number)
        , largest(number)
        , too_large(number) {}
    bool are_intact() const {
        return smallest.is_intact() && odd.is_intact() && largest.is_intact() && too_large.is_intact();
    }
    void give_back() const {
        smallest.give_back();
        odd.give_back();
        largest.give_back();
        too_large.give_back();
    }

    marked_piece<4> smallest;
    marked_piece<100> odd;
    marked_piece<256> largest;
    marked_piece<260> too_large;
};

std::vector<some_pieces> many_pieces() {
    std::vector<some_pieces> made;
    for (std::uint32_t number = 0; number < 500; ++number) made.emplace_back(number);
    return made;
}

bool check_and_give_back(std::span<const some_pieces> given) {
    const bool intact = std::ranges::all_of(given, &some_pieces::are_intact);
    std::ranges::for_each(given, &some_pieces::give_back);
    return intact;
}

// What a thread's own objects post while they are destroyed, after all that post_memory keeps of the thread.
struct allocates_at_the_end {
    ~allocates_at_the_end() {
        if (into == nullptr) return;
        into->emplace(7);
    }
    std::optional<marked_piece<16>>* into = nullptr;
};

} // namespace

TEST_CASE("pieces_of_posted_functions_are_apart_whoever_gives_them_back_and_when", "[linux]") {
    for (int round = 0; round < 10; ++round) {
        const std::vector<some_pieces> made = many_pieces();
        bool intact_there = false;
        std::thread beside(
            [&] { intact_there = check_and_give_back(std::span(made).first(made.size() / 2)); });
        // Cut from the chunk that the other gives pieces of back.
        const std::vector<some_pieces> more = many_pieces();
        CHECK(check_and_give_back(std::span(made).last(made.size() - made.size() / 2)));
        CHECK(check_and_give_back(more));
        beside.join();
        CHECK(intact_there);
    }
}

TEST_CASE("pieces_of_posted_functions_outlive_the_thread_that_posted_them", "[linux]") {
    std::vector<some_pieces> made;
    std::thread([&made] { made = many_pieces(); }).join();
    CHECK(check_and_give_back(made));
}

TEST_CASE("a_thread_that_ends_gets_its_memory_for_posted_functions_from_the_heap", "[linux]") {
    std::optional<marked_piece<16>> last;
    std::thread([&last] {
        static thread_local allocates_at_the_end outlives;
        outlives.into = &last;
        marked_piece<16>(1).give_back(); // from here on there is something to be destroyed, before `outlives`
    }).join();
    REQUIRE(last.has_value());
    CHECK(last->is_intact());
    CHECK_FALSE(last->is_cut());
    last->give_back();
}

TEST_CASE("a_chunk_of_which_nothing_is_out_is_cut_again", "[linux]") {
    if (address_sanitizer) SKIP("under the address sanitizer each piece is the heap's");
    constexpr std::size_t chunk = 4096;
    std::vector<std::byte*> begins;
    for (std::uint32_t number = 0; number < 10 * chunk / 256; ++number) {
        const marked_piece<256> piece(number);
        CHECK(piece.is_cut());
        begins.push_back(piece.begin());
        piece.give_back();
    }
    // The first of them may be the rest of what the thread has cut from before.
    const auto later = std::span(begins).subspan(chunk / 256);
    const auto [first, last] = std::ranges::minmax(later);
    CHECK(static_cast<std::size_t>(last - first) < chunk);
}
