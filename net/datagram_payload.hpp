// datagram_payload: the bytes of a datagram to send, whatever holds them.
#pragma once

#include <chainring/net/message.hpp>
#include <chainring/net/shared_message.hpp>

#include <concepts>
#include <variant>

namespace chainring {

// A lease, a string, a vector and a share that are moved in belong to it; bytes, text and pieces are borrowed.
class datagram_payload {
  public:
    template <std::convertible_to<std::string_view> Text>
        requires(!std::same_as<Text, std::string>)
    datagram_payload(Text&& text) noexcept
        : held_(as_bytes(text)) {}
    template <std::convertible_to<byte_span> Bytes>
        requires(!std::same_as<Bytes, std::vector<std::byte>>)
    datagram_payload(Bytes&& bytes) noexcept
        : held_(byte_span(bytes)) {}
    datagram_payload(byte_spans pieces) noexcept
        : held_(pieces) {}
    datagram_payload(buffer&& lease) noexcept
        : held_(std::move(lease)) {}
    datagram_payload(std::string&& text) noexcept
        : held_(std::move(text)) {}
    datagram_payload(std::vector<std::byte>&& bytes) noexcept
        : held_(std::move(bytes)) {}
    datagram_payload(shared_message shared) noexcept
        : held_(std::move(shared)) {}
    datagram_payload(datagram_payload&&) noexcept = default;
    datagram_payload& operator=(datagram_payload&&) = delete;
    ~datagram_payload() = default;

    // A short string takes its bytes along when it moves.
    template <class Visitor> void visit_bytes(Visitor&& visit) const {
        std::visit([&](const auto& held) { visit(bytes_of(held)); }, held_);
    }
    std::size_t size() const noexcept {
        std::size_t total = 0;
        visit_bytes([&total](const auto& bytes) {
            if constexpr (std::same_as<std::remove_cvref_t<decltype(bytes)>, byte_spans>)
                for (const byte_span piece : bytes) total += piece.size();
            else
                total = bytes.size();
        });
        return total;
    }
    bool is_borrowed() const noexcept {
        return std::holds_alternative<byte_span>(held_) || std::holds_alternative<byte_spans>(held_);
    }
    // To memory for `size()` bytes.
    void copy_to(std::byte* target) const noexcept {
        visit_bytes([&target](const auto& bytes) {
            if constexpr (std::same_as<std::remove_cvref_t<decltype(bytes)>, byte_spans>)
                for (const byte_span piece : bytes) target = std::copy(piece.begin(), piece.end(), target);
            else
                std::copy(bytes.begin(), bytes.end(), target);
        });
    }
    // The memory goes home.
    void reset() noexcept { held_ = byte_span(); }

  private:
    static byte_span as_bytes(std::string_view text) noexcept {
        return std::as_bytes(std::span(text.data(), text.size()));
    }

    std::variant<byte_span, byte_spans, buffer, std::string, std::vector<std::byte>, shared_message> held_;
};

} // namespace chainring
