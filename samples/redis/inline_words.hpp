// The words of a command that somebody types: SET name "two words\n" 'it''s not'.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace redis {

// Between "" a backslash leads to what cannot be typed (\n \r \t \b \a \xHH, or the character itself), between '' only to an
// apostrophe. False: a quote is not closed, or something follows it at once. Like Redis it sees nothing behind a zero.
bool split_words(std::string_view line, std::vector<std::string>& words);

} // namespace redis
