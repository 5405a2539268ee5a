#include "webhook/identity.h"

#include <algorithm>

#include "base/hash.h"
#include "core/key.h"

namespace oncegate {
namespace {

std::string HexDigest(std::string_view text) {
  const Sha256Digest digest = Sha256OfParts({text});
  return ToHex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

bool StartsWith(const std::vector<uint32_t>& at, const std::vector<uint32_t>& element) {
  return at.size() >= element.size() && std::equal(element.begin(), element.end(), at.begin());
}

// Goes through the matches of one path, element after element.
class MatchCursor {
 public:
  MatchCursor(const JsonPath& path, const JsonMatches& matches) : path_(path), matches_(matches) {}

  // Appends the values of all matches within `element`; `*found` grows by their number. False: one lacks a value.
  bool Take(const std::vector<uint32_t>& element, std::vector<std::string>* parts, size_t* found) {
    for (; next_ < matches_.size() && StartsWith(matches_[next_].at, element); ++next_) {
      for (size_t i = 0; i < matches_[next_].values.size(); ++i) {
        const std::optional<std::string>& value = matches_[next_].values[i];
        const bool optional = !path_.members().empty() && path_.members()[i].optional;
        if ((!value || value->empty()) && !optional) return false;
        parts->push_back(value.value_or(""));
      }
      ++*found;
    }
    return true;
  }

 private:
  const JsonPath& path_;
  const JsonMatches& matches_;
  size_t next_ = 0;
};

std::string KeyOfItems(const Profile& profile, const KeyItems& items, RequestReader& request) {
  const JsonMatches whole{{{}, {}}};
  const JsonMatches* const elements = items.each ? request.Json(*items.each) : &whole;
  if (elements == nullptr || elements->empty()) return {};
  std::vector<MatchCursor> with;
  std::vector<MatchCursor> of;
  for (const auto& [paths, cursors] : {std::pair{&items.with, &with}, std::pair{&items.of, &of}}) {
    for (const size_t path : *paths) {
      const JsonMatches* const matches = request.Json(path);
      if (matches == nullptr) return {};
      cursors->emplace_back(profile.paths[path], *matches);
    }
  }
  std::vector<std::string> parts;
  for (const JsonMatch& element : *elements) {
    for (MatchCursor& cursor : with) {
      size_t found = 0;
      if (!cursor.Take(element.at, &parts, &found) || found == 0) return {};
    }
    size_t found = 0;
    for (MatchCursor& cursor : of) {
      if (!cursor.Take(element.at, &parts, &found)) return {};
    }
    if (!of.empty() && found == 0) return {};
  }
  return KeyFromParts(parts);
}

Result<std::string> KeyOfParts(const KeyRule& rule, RequestReader& request) {
  std::vector<std::string> parts;
  bool something = false;
  for (const KeyPart& part : rule.parts) {
    std::optional<std::string> value;
    for (const Source& source : part.any) {
      if (value) break;
      if (source.kind == Source::Kind::kHeader && request.Headers(source.name).size() > 1)
        return InvalidArgument("the header " + source.name + " is repeated");
      value = request.Value(source);
      if (value && source.kind == Source::Kind::kBody) value = "sha256:" + HexDigest(*value);
    }
    if (!value && !part.optional) return std::string();
    something = something || value;
    parts.push_back(value.value_or(""));
  }
  return something ? KeyFromParts(parts) : std::string();
}

}  // namespace

bool Hold(const std::vector<Condition>& conditions, RequestReader& request) {
  return std::all_of(conditions.begin(), conditions.end(), [&request](const Condition& condition) {
    const std::optional<std::string> value = request.Value(condition.source);
    if (!value || condition.absent) return !value && condition.absent;
    if (condition.only_field && (request.Form() == nullptr || request.Form()->size() != 1)) return false;
    return condition.in.empty() || std::find(condition.in.begin(), condition.in.end(), *value) != condition.in.end();
  });
}

const Handshake* FindHandshake(const Profile& profile, RequestReader& request) {
  for (const Handshake& handshake : profile.handshakes) {
    if (Hold(handshake.when, request)) return &handshake;
  }
  return nullptr;
}

Result<std::string> WebhookKey(const Profile& profile, RequestReader& request) {
  for (const KeyRule& rule : profile.keys) {
    if (!Hold(rule.when, request)) continue;
    Result<std::string> key = rule.items ? KeyOfItems(profile, *rule.items, request) : KeyOfParts(rule, request);
    if (!key.ok() || !key->empty()) return key;
  }
  return std::string();
}

std::optional<std::string> FirstValue(const std::vector<Source>& sources, RequestReader& request) {
  for (const Source& source : sources) {
    if (auto value = request.Value(source)) return value;
  }
  return std::nullopt;
}

std::optional<std::string> GuardDigest(const Profile& profile, RequestReader& request,
                                       const SignatureVerdict& verdict) {
  if (!profile.replay_guard) return std::nullopt;
  for (const Condition& condition : profile.replay_guard->unless) {
    if (Hold({condition}, request)) return std::nullopt;
  }
  std::string all;
  for (const Source& source : profile.replay_guard->of) {
    std::optional<std::string> value = request.Value(source);
    if (source.kind == Source::Kind::kSigned) value = verdict.signed_content;
    if (!value || value->empty()) return std::nullopt;
    all += HexDigest(*value);
  }
  return HexDigest(all);
}

}  // namespace oncegate
