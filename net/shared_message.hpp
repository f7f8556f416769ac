// shared_message: bytes that many connections send, in one copy that lives until the last of them has.
//
//     const cr::shared_message line(std::move(text));
//     for (cr::tcp_stream& member : members) co_await member.write(line);
#pragma once

#include <chainring/net/message.hpp>

#include <memory>

namespace chainring {

// Copies share the bytes; they may be on different threads.
class shared_message {
  public:
    explicit shared_message(std::string text)
        : text_(std::make_shared<const std::string>(std::move(text))) {}
    explicit shared_message(byte_span bytes)
        : shared_message(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())) {}

    std::size_t size() const noexcept { return text_->size(); } // in bytes
    byte_span bytes() const noexcept { return bytes_of(*text_); }
    std::string_view text() const noexcept { return *text_; }

  private:
    std::shared_ptr<const std::string> text_;
};

inline byte_span bytes_of(const shared_message& message) noexcept {
    return message.bytes();
}

} // namespace chainring
