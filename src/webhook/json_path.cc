#include "webhook/json_path.h"

#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "webhook/encoding.h"
#include "webhook/json_number.h"
#include "webhook/request.h"

namespace oncegate {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr size_t kDepthMax = 1024;  // as simdjson's

struct PathParsers {
  simdjson::dom::parser whole;
  ondemand::parser lazy;
};

using Visit = std::function<bool(const std::vector<uint32_t>& at, ondemand::value value, ondemand::document& document)>;

// Walks one path through a document. False: broken off, because the text is broken or the visitor had enough.
class Walk {
 public:
  Walk(const JsonPath& path, bool all_members, ondemand::document& document, const Visit& visit)
      : path_(path), all_members_(all_members), document_(document), visit_(visit) {}

  bool From(ondemand::value value, size_t part) {
    if (part == path_.parts().size()) return visit_(at_, value, document_);
    ondemand::json_type type{};
    if (value.type().get(type) != simdjson::SUCCESS) return false;
    if (type == ondemand::json_type::object) return Object(value, part);
    if (type == ondemand::json_type::array) return Array(value, part);
    return true;
  }

 private:
  bool Object(ondemand::value value, size_t part) {
    const std::optional<std::string>& wanted = path_.parts()[part];
    ondemand::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) return false;
    uint32_t index = 0;
    for (auto item : object) {
      ondemand::field field;
      std::string_view name;
      if (std::move(item).get(field) != simdjson::SUCCESS) return false;
      if (field.unescaped_key().get(name) != simdjson::SUCCESS) return false;
      const bool is_wanted = !wanted || *wanted == name;
      if (is_wanted && !Enter(field.value(), part, wanted ? std::nullopt : std::optional(index))) return false;
      if (is_wanted && wanted && !all_members_) return true;
      ++index;
    }
    return true;
  }

  bool Array(ondemand::value value, size_t part) {
    const std::optional<std::string>& wanted = path_.parts()[part];
    ondemand::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) return false;
    uint32_t index = 0;
    for (auto item : array) {
      ondemand::value element;
      if (item.get(element) != simdjson::SUCCESS) return false;
      const bool is_wanted = !wanted || *wanted == std::to_string(index);
      if (is_wanted && !Enter(element, part, wanted ? std::nullopt : std::optional(index))) return false;
      if (is_wanted && wanted) return true;
      ++index;
    }
    return true;
  }

  bool Enter(ondemand::value value, size_t part, std::optional<uint32_t> index) {
    if (index) at_.push_back(*index);
    // A document that met what is not JSON has let go of its parser: going on with it would be a crash.
    const bool go_on = From(value, part + 1) && document_.is_alive();
    if (index) at_.pop_back();
    return go_on;
  }

  const JsonPath& path_;
  const bool all_members_;
  ondemand::document& document_;
  const Visit& visit_;
  std::vector<uint32_t> at_;
};

// A value as keys and signatures see it.
std::optional<std::string> Scalar(ondemand::value value) {
  ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return std::nullopt;
  if (type == ondemand::json_type::string) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
    return std::string(text);
  }
  const std::string_view token = TrimJsonSpace(value.raw_json_token());
  if (type == ondemand::json_type::number)
    return IsJsonNumber(token) ? std::optional(std::string(token)) : std::nullopt;
  if (type == ondemand::json_type::boolean) return std::string(token);
  return std::nullopt;
}

JsonMatch MatchAt(const JsonPath& path, const std::vector<uint32_t>& at, ondemand::value value,
                  ondemand::document& document) {
  JsonMatch match{at, {}};
  if (path.members().empty()) {
    match.values.push_back(Scalar(value));
    return match;
  }
  match.values.resize(path.members().size());
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) return match;
  for (auto item : object) {
    ondemand::field field;
    std::string_view name;
    if (std::move(item).get(field) != simdjson::SUCCESS) return match;
    if (field.unescaped_key().get(name) != simdjson::SUCCESS) return match;
    for (size_t i = 0; i < path.members().size(); ++i) {
      if (path.members()[i].name != name || match.values[i]) continue;
      match.values[i] = Scalar(field.value());
      break;
    }
    if (!document.is_alive()) return match;
  }
  return match;
}

// Whether all of a value is JSON, however large its numbers are.
bool IsJson(ondemand::value value, size_t depth) {
  ondemand::json_type type{};
  if (depth == 0 || value.type().get(type) != simdjson::SUCCESS) return false;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) return false;
    for (auto item : object) {
      ondemand::field field;
      std::string_view name;
      if (std::move(item).get(field) != simdjson::SUCCESS || field.unescaped_key().get(name) != simdjson::SUCCESS ||
          !IsJson(field.value(), depth - 1))
        return false;
    }
    return true;
  }
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) return false;
    for (auto item : array) {
      ondemand::value element;
      if (item.get(element) != simdjson::SUCCESS || !IsJson(element, depth - 1)) return false;
    }
    return true;
  }
  if (type == ondemand::json_type::string) {
    std::string_view text;
    return value.get_string().get(text) == simdjson::SUCCESS;
  }
  const std::string_view token = TrimJsonSpace(value.raw_json_token());
  if (type == ondemand::json_type::number) return IsJsonNumber(token);
  return token == "true" || token == "false" || token == "null";
}

bool WalksToItsEnd(const simdjson::padded_string& text, ondemand::parser& parser) {
  ondemand::document document;
  ondemand::value root;
  if (parser.iterate(text).get(document) != simdjson::SUCCESS) return false;
  if (document.get_value().get(root) != simdjson::SUCCESS) return IsJsonNumber(TrimJsonSpace(text));
  const char* rest = nullptr;
  return IsJson(root, kDepthMax) && document.current_location().get(rest) == simdjson::OUT_OF_BOUNDS;
}

// The lazy parser would stop at a value and never see that the rest is broken, where the application's parser will.
// The other one cannot hold numbers beyond 64 bits, which are valid JSON; its versions have several errors for them,
// and some also for "--1".
bool IsWhole(const simdjson::padded_string& text, PathParsers& parsers) {
  simdjson::dom::element whole;
  return parsers.whole.parse(text).get(whole) == simdjson::SUCCESS || WalksToItsEnd(text, parsers.lazy);
}

// Starts each path at the root.
bool WalkDocument(const simdjson::padded_string& text, PathParsers& parsers, const JsonPath& path, bool all_members,
                  const Visit& visit) {
  ondemand::document document;
  if (parsers.lazy.iterate(text).get(document) != simdjson::SUCCESS) return false;
  ondemand::value root;
  if (document.get_value().get(root) != simdjson::SUCCESS) return true;  // a scalar: no path leads into it
  return Walk(path, all_members, document, visit).From(root, 0) && document.is_alive();
}

std::optional<std::vector<JsonMatches>> Find(std::string_view text, std::span<const JsonPath> paths,
                                             PathParsers& parsers) {
  const simdjson::padded_string padded(text);
  if (!IsWhole(padded, parsers)) return std::nullopt;
  std::vector<JsonMatches> all(paths.size());
  for (size_t i = 0; i < paths.size(); ++i) {
    const Visit visit = [&](const std::vector<uint32_t>& at, ondemand::value value, ondemand::document& document) {
      if (all[i].size() == kJsonMatchesMax) return false;
      all[i].push_back(MatchAt(paths[i], at, value, document));
      return true;
    };
    if (!WalkDocument(padded, parsers, paths[i], false, visit)) return std::nullopt;
  }
  return all;
}

bool Repeats(simdjson::dom::element value, std::span<const std::string_view> names) {
  simdjson::dom::array array;
  if (value.get(array) == simdjson::SUCCESS)
    return std::any_of(array.begin(), array.end(), [names](const auto& one) { return Repeats(one, names); });
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) return false;
  for (const std::string_view name : names) {
    const auto is_it = [name](const auto& field) { return SameName(field.key, name); };
    if (std::count_if(object.begin(), object.end(), is_it) > 1) return true;
  }
  return std::any_of(object.begin(), object.end(), [names](const auto& field) { return Repeats(field.value, names); });
}

// The bytes of a value in the text.
std::string_view RawBytes(ondemand::value value) {
  ondemand::json_type type{};
  std::string_view raw;
  if (value.type().get(type) != simdjson::SUCCESS) return {};
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS || object.raw_json().get(raw) != simdjson::SUCCESS)
      return {};
  } else if (type == ondemand::json_type::array) {
    ondemand::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS || array.raw_json().get(raw) != simdjson::SUCCESS) return {};
  } else {
    raw = value.raw_json_token();
  }
  return TrimJsonSpace(raw);
}

std::optional<std::string> Unescape(std::string_view part) {
  std::string text;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] != '~') {
      text.push_back(part[i]);
      continue;
    }
    if (i + 1 == part.size() || (part[i + 1] != '0' && part[i + 1] != '1')) return std::nullopt;
    text.push_back(part[++i] == '0' ? '~' : '/');
  }
  return text;
}

bool TakeMembers(std::string_view list, std::vector<JsonPath::Member>* members) {
  while (true) {
    const size_t comma = list.find(',');
    std::string_view name = list.substr(0, comma);
    const bool optional = name.ends_with('?');
    if (optional) name.remove_suffix(1);
    if (name.empty()) return false;
    members->push_back({std::string(name), optional});
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

Result<JsonPath> JsonPath::Parse(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return InvalidArgument("'" + std::string(text) + "' is not a JSON pointer: " + std::string(why));
  };
  if (text.size() > kBytesMax) return InvalidArgument("a JSON pointer may have at most 512 characters");
  if (!text.starts_with('/')) return wrong("one begins with '/', like /data/id or /items/*/id");
  JsonPath path;
  path.text_ = text;
  while (!text.empty()) {
    text.remove_prefix(1);
    const std::string_view part = text.substr(0, text.find('/'));
    text.remove_prefix(part.size());
    if (part.starts_with('{') && part.ends_with('}') && text.empty()) {
      if (!TakeMembers(part.substr(1, part.size() - 2), &path.members_))
        return wrong("braces hold names, like {id,status}");
      break;
    }
    if (path.parts_.size() == kPartsMax) return wrong("it has more than 32 parts");
    const std::optional<std::string> plain = Unescape(part);
    if (!plain) return wrong("'~' stands only before 0 or 1");
    path.parts_.push_back(part == "*" ? std::nullopt : plain);
  }
  return path;
}

std::optional<std::vector<JsonMatches>> FindJson(std::string_view text, std::span<const JsonPath> paths) {
  if (text.empty()) return std::nullopt;
  if (text.size() <= kKeptParserBytesMax) {
    thread_local PathParsers parsers;
    return Find(text, paths, parsers);
  }
  PathParsers parsers;  // its buffers are many times as large as the text: not kept
  return Find(text, paths, parsers);
}

bool IsJsonWithLargeNumbers(std::string_view text) {
  ondemand::parser parser;
  return WalksToItsEnd(simdjson::padded_string(text), parser);
}

bool RepeatsMember(std::string_view text, std::span<const std::string_view> names) {
  simdjson::dom::parser parser;
  simdjson::dom::element whole;
  return parser.parse(simdjson::padded_string(text)).get(whole) != simdjson::SUCCESS || Repeats(whole, names);
}

std::optional<std::string> RedactJson(std::string_view text, std::span<const JsonPath> paths, bool* replaced) {
  PathParsers parsers;
  const simdjson::padded_string padded(text);
  if (!IsWhole(padded, parsers)) return std::nullopt;
  std::vector<std::pair<size_t, size_t>> ranges;  // begin and end
  for (const JsonPath& path : paths) {
    const Visit visit = [&](const std::vector<uint32_t>&, ondemand::value value, ondemand::document&) {
      const std::string_view raw = RawBytes(value);
      if (raw.empty()) return false;
      const auto begin = static_cast<size_t>(raw.data() - padded.data());
      ranges.emplace_back(begin, begin + raw.size());
      return true;
    };
    if (!WalkDocument(padded, parsers, path, true, visit)) return std::nullopt;
  }
  std::sort(ranges.begin(), ranges.end());
  std::string redacted;
  size_t copied = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin < copied) continue;  // within a value that is gone already
    redacted.append(text.substr(copied, begin - copied)).append("\"").append(kRedacted).append("\"");
    copied = end;
  }
  *replaced = !ranges.empty();
  redacted.append(text.substr(copied));
  return redacted;
}

}  // namespace oncegate
