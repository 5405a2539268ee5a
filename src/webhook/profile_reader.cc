#include "webhook/profile_reader.h"

#include <algorithm>
#include <array>
#include <utility>

namespace oncegate {
namespace {

constexpr size_t kPathsMax = 64;

struct PlaceholderName {
  std::string_view name;
  TemplatePiece::Kind kind;
};
constexpr std::array<PlaceholderName, 6> kPlaceholders{{{"body", TemplatePiece::Kind::kBody},
                                                        {"ts", TemplatePiece::Kind::kTimestamp},
                                                        {"method", TemplatePiece::Kind::kMethod},
                                                        {"url", TemplatePiece::Kind::kUrl},
                                                        {"url_decoded", TemplatePiece::Kind::kUrlDecoded},
                                                        {"secret", TemplatePiece::Kind::kSecret}}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kValuePlaceholders{
    {{"h:", "header:"}, {"q:", "query:"}, {"q_lower:", "query:"}, {"f:", "form:"}, {"j:", "json:"}}};

Result<Source> ParseJsonSource(std::string_view pointer, std::vector<JsonPath>* paths) {
  Result<JsonPath> path = JsonPath::Parse(pointer);
  if (!path.ok()) return path.status();
  if (paths->size() >= kPathsMax) return InvalidArgument("more than 64 JSON pointers");
  Source source;
  source.kind = Source::Kind::kJson;
  source.json = AddPath(*std::move(path), paths);
  return source;
}

Result<Source> ParseFormSource(std::string_view name) {
  Source source;
  source.kind = Source::Kind::kForm;
  const size_t mark = name.find('#');
  source.name = name.substr(0, mark);
  if (mark == std::string_view::npos) return source;
  Result<JsonPath> inside = JsonPath::Parse(name.substr(mark + 1));
  if (!inside.ok()) return inside.status();
  source.kind = Source::Kind::kFormJson;
  source.inside = *std::move(inside);
  return source;
}

Result<TemplatePiece> ParsePlaceholder(std::string_view name, std::vector<JsonPath>* paths) {
  TemplatePiece piece;
  piece.text = name;
  for (const PlaceholderName& known : kPlaceholders) {
    if (known.name != name) continue;
    piece.kind = known.kind;
    return piece;
  }
  for (const auto& [prefix, source] : kValuePlaceholders) {
    if (!name.starts_with(prefix)) continue;
    Result<Source> parsed = ParseSource(std::string(source).append(name.substr(prefix.size())), paths);
    if (!parsed.ok()) return parsed.status();
    piece.kind = TemplatePiece::Kind::kValue;
    piece.source = *std::move(parsed);
    piece.lower = prefix == "q_lower:";
    return piece;
  }
  return InvalidArgument("'{" + std::string(name) + "}' is no placeholder");
}

}  // namespace

size_t AddPath(JsonPath path, std::vector<JsonPath>* paths) {
  const auto known = std::find_if(paths->begin(), paths->end(),
                                  [&path](const JsonPath& other) { return other.text() == path.text(); });
  if (known != paths->end()) return static_cast<size_t>(known - paths->begin());
  paths->push_back(std::move(path));
  return paths->size() - 1;
}

Result<Source> ParseSource(std::string_view text, std::vector<JsonPath>* paths) {
  Source source;
  if (text == "body" || text == "signed") {
    source.kind = text == "body" ? Source::Kind::kBody : Source::Kind::kSigned;
    return source;
  }
  const size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (rest.empty())
    return InvalidArgument("'" + std::string(text) + "' is not a source such as header:NAME or json:/id");
  if (kind == "json") return ParseJsonSource(rest, paths);
  if (kind == "form") return ParseFormSource(rest);
  source.name = rest;
  source.decode_percent = kind == "header_decoded";
  if (kind == "query") {
    source.kind = Source::Kind::kQuery;
  } else if (kind != "header" && kind != "header_decoded") {
    return InvalidArgument("'" + std::string(kind) + "' is not header, header_decoded, json, form or query");
  }
  return source;
}

Result<std::vector<TemplatePiece>> ParseTemplate(std::string_view text, std::vector<JsonPath>* paths) {
  std::vector<TemplatePiece> pieces;
  int groups = 0;
  int group = 0;
  while (!text.empty()) {
    const size_t plain = std::min(text.find_first_of("{[]"), text.size());
    if (plain > 0)
      pieces.push_back({.kind = TemplatePiece::Kind::kText,
                        .text = std::string(text.substr(0, plain)),
                        .source = {},
                        .group = group});
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (text.front() != '{') {
      if ((text.front() == '[') != (group == 0)) return InvalidArgument("brackets in the template do not match");
      group = text.front() == '[' ? ++groups : 0;
      text.remove_prefix(1);
      continue;
    }
    const size_t end = text.find('}');
    if (end == std::string_view::npos) return InvalidArgument("a '{' in the template is not closed");
    Result<TemplatePiece> piece = ParsePlaceholder(text.substr(1, end - 1), paths);
    if (!piece.ok()) return piece.status();
    pieces.push_back(*std::move(piece));
    pieces.back().group = group;
    text.remove_prefix(end + 1);
  }
  if (group != 0) return InvalidArgument("brackets in the template do not match");
  return pieces;
}

}  // namespace oncegate
