// Counts durations in logarithmic buckets; a percentile is off by at most 1/64 of its value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>

class latency_histogram {
  public:
    void record(std::chrono::nanoseconds duration, std::uint64_t times = 1) {
        buckets_[bucket_of(static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0)))] += times;
        count_ += times;
    }

    // In microseconds; 0 when nothing was recorded.
    double percentile(double percent) const {
        const auto rank = static_cast<std::uint64_t>(static_cast<double>(count_) * percent / 100);
        std::uint64_t seen = 0;
        for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
            seen += buckets_[bucket];
            if (seen > rank) return static_cast<double>(upper_end(bucket)) / 1000;
        }
        return 0;
    }

  private:
    static constexpr unsigned precision = 6; // bits below the highest one

    static std::size_t bucket_of(std::uint64_t value) {
        const auto width = static_cast<unsigned>(std::bit_width(value));
        if (width <= precision) return value;
        const unsigned shift = width - precision - 1;
        return (std::size_t{shift} << precision) + static_cast<std::size_t>(value >> shift);
    }
    static std::uint64_t upper_end(std::size_t bucket) {
        if (bucket < (std::size_t{2} << precision)) return bucket;
        const std::size_t shift = (bucket >> precision) - 1;
        return (((bucket & ((std::size_t{1} << precision) - 1)) | (std::size_t{1} << precision)) + 1)
               << shift;
    }

    std::array<std::uint64_t, std::size_t{64} << precision> buckets_{};
    std::uint64_t count_ = 0;
};
