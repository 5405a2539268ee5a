#include "core/policy.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace oncegate {
namespace {

// The statuses that one item of a list names: "404" or "4xx".
bool ParseRange(std::string_view item, int* first, int* last) {
  if (item.size() != 3 || item[0] < '1' || item[0] > '5') return false;
  if (item.substr(1) == "xx") {
    *first = (item[0] - '0') * 100;
    *last = *first + 99;
    return true;
  }
  auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), *first);
  *last = *first;
  return error == std::errc{} && end == item.data() + item.size();
}

}  // namespace

Result<StatusSet> StatusSet::Parse(std::string_view list) {
  StatusSet set;
  size_t start = 0;
  while (start <= list.size()) {
    const size_t comma = std::min(list.find(',', start), list.size());
    std::string_view item = list.substr(start, comma - start);
    start = comma + 1;
    const bool add = item.empty() || item.front() != '!';
    if (!add) item.remove_prefix(1);
    int first = 0;
    int last = 0;
    if (!ParseRange(item, &first, &last))
      return InvalidArgument("'" + std::string(list) + "' is not a list of statuses such as 2xx,404,!429");
    for (int status = first; status <= last; ++status) set.bits_[Index(status)] = add;
  }
  if (set.bits_.none()) return InvalidArgument("'" + std::string(list) + "' names no status");
  return set;
}

StatusSet StatusSet::DefaultFinal(Mode mode) {
  StatusSet set;
  if (mode == Mode::kWebhook) {
    for (int status = 200; status <= 299; ++status) set.bits_[Index(status)] = true;
    return set;
  }
  set.bits_.set();
  for (const int status : {401, 403, 407, 408, 409, 425, 429, 502, 503, 504}) set.bits_[Index(status)] = false;
  return set;
}

std::string_view DedupeName(Dedupe dedupe) {
  switch (dedupe) {
    case Dedupe::kOn:
      return "on";
    case Dedupe::kOff:
      return "off";
    case Dedupe::kShadow:
      return "shadow";
  }
  return "on";
}

}  // namespace oncegate
