// What clients of the sample redis may send, made of any bytes: whatever comes out is the same in one part and in many, and lies in
// what was received. The first byte of an input says how many parts.
#include "../../samples/redis/request_parser.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

constexpr redis::request_limits limits{.line = 64, .count = 20, .argument_bytes = 100};

void require(bool holds) {
    if (!holds) std::abort();
}

// In memory of exactly that size, so that the sanitizer sees what is read behind it.
class received_bytes {
  public:
    explicit received_bytes(std::string_view bytes)
        : memory_(std::make_unique<char[]>(bytes.size()))
        , size_(bytes.size()) {
        if (!bytes.empty()) std::memcpy(memory_.get(), bytes.data(), bytes.size());
    }
    std::string_view text() const { return {memory_.get(), size_}; }

  private:
    std::unique_ptr<char[]> memory_;
    std::size_t size_;
};

// All commands with their words, and the complaint at the end if there is one.
std::vector<std::vector<std::string>> commands_in(std::string_view whole, std::size_t part) {
    redis::request_parser parser(limits);
    std::vector<std::vector<std::string>> found;
    std::string pending;
    while (!whole.empty()) {
        pending += whole.substr(0, part);
        whole.remove_prefix(std::min(part, whole.size()));
        const received_bytes received(pending);
        std::string_view rest = received.text();
        for (;;) {
            const redis::parsed what = parser.next(rest);
            require(parser.taken() <= rest.size());
            if (what == redis::parsed::malformed) {
                require(parser.complaint().starts_with("Protocol error: "));
                require(parser.complaint().find_first_of("\r\n") == std::string::npos);
                found.push_back({parser.complaint()});
                return found;
            }
            if (what == redis::parsed::incomplete) break;
            const redis::arguments words = parser.found();
            require(!words.empty() && words.size() <= limits.line + limits.count && parser.taken() != 0);
            for (const std::string_view each : words)
                require(
                    parser.was_inline() || each.empty() ||
                    (each.data() >= rest.data() &&
                     each.data() + each.size() <= rest.data() + parser.taken()));
            found.emplace_back(words.begin(), words.end());
            rest.remove_prefix(parser.taken());
        }
        rest.remove_prefix(parser.taken());
        pending = rest;
        require(pending.size() <= 4096); // what a command of these limits may take
    }
    return found;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    require(commands_in(text, text.size()) == commands_in(text, 1 + text.size() / (1U + data[0] % 16U)));
    return 0;
}
