#include "webhook/request.h"

#include <algorithm>

namespace oncegate {
namespace {

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view QueryOf(std::string_view url) {
  const size_t mark = url.find('?');
  return mark == std::string_view::npos ? std::string_view() : url.substr(mark + 1);
}

bool IsNumber(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<std::string> FirstField(const std::vector<FormField>* fields, std::string_view name) {
  if (fields == nullptr) return std::nullopt;
  const auto found =
      std::find_if(fields->begin(), fields->end(), [name](const FormField& field) { return field.name == name; });
  return found == fields->end() ? std::nullopt : std::optional(found->value);
}

std::optional<std::string> FirstMatch(const JsonMatches* matches) {
  if (matches == nullptr || matches->empty() || matches->front().values.empty()) return std::nullopt;
  return matches->front().values.front();
}

}  // namespace

bool SameName(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string SenderUrl(std::string_view public_url, std::string_view scheme, std::string_view host,
                      std::string_view target) {
  if (public_url.empty()) return std::string(scheme) + "://" + std::string(host) + std::string(target);
  public_url = public_url.substr(0, public_url.find('#'));
  const size_t authority = public_url.find("://");
  const size_t path = public_url.find_first_of("/?", authority == std::string_view::npos ? 0 : authority + 3);
  const bool no_path = path == std::string_view::npos || (public_url[path] == '/' && path + 1 == public_url.size());
  if (no_path && target == "/") return std::string(public_url);
  if (no_path) return std::string(public_url.substr(0, path)) + std::string(target);
  const std::string_view query = QueryOf(target);
  if (query.empty()) return std::string(public_url);
  return std::string(public_url.substr(0, public_url.find('?'))) + "?" + std::string(query);
}

std::optional<std::string_view> RequestReader::Header(std::string_view name) const {
  for (const HeaderLine& header : request_.headers) {
    if (SameName(header.name, name)) return header.value;
  }
  return std::nullopt;
}

std::vector<std::string_view> RequestReader::Headers(std::string_view name) const {
  std::vector<std::string_view> values;
  const bool numbered = name.ends_with("-*");
  const std::string_view stem = numbered ? name.substr(0, name.size() - 1) : name;
  for (const HeaderLine& header : request_.headers) {
    const bool same = numbered ? SameName(header.name.substr(0, stem.size()), stem) &&
                                     IsNumber(header.name.substr(std::min(stem.size(), header.name.size())))
                               : SameName(header.name, stem);
    if (same) values.push_back(header.value);
  }
  return values;
}

const JsonMatches* RequestReader::Json(size_t path) {
  if (!json_read_) json_ = FindJson(request_.body, paths_);
  json_read_ = true;
  return json_ ? &(*json_)[path] : nullptr;
}

const std::vector<FormField>* RequestReader::Form() {
  if (!form_read_) form_ = ParseForm(request_.body);
  form_read_ = true;
  return form_ ? &*form_ : nullptr;
}

const std::vector<FormField>* RequestReader::Query() {
  if (!query_read_)
    query_ = ParseForm(QueryOf(request_.url).empty() ? QueryOf(request_.target) : QueryOf(request_.url));
  query_read_ = true;
  return query_ ? &*query_ : nullptr;
}

std::optional<std::string> RequestReader::Value(const Source& source) {
  std::optional<std::string> value;
  switch (source.kind) {
    case Source::Kind::kHeader:
      value = Header(source.name);
      break;
    case Source::Kind::kJson:
      value = FirstMatch(Json(source.json));
      break;
    case Source::Kind::kForm:
      value = FirstField(Form(), source.name);
      break;
    case Source::Kind::kQuery:
      value = FirstField(Query(), source.name);
      break;
    case Source::Kind::kFormJson:
      if (const auto text = FirstField(Form(), source.name)) {
        const auto found = FindJson(*text, {&*source.inside, 1});
        if (found) value = FirstMatch(&found->front());
      }
      break;
    case Source::Kind::kBody:
      value = std::string(request_.body);
      break;
    case Source::Kind::kSigned:
      break;
  }
  if (value && source.decode_percent) value = DecodePercent(*value, false);
  if (value && value->empty()) return std::nullopt;
  return value;
}

}  // namespace oncegate
