#include "core/record.h"

#include <algorithm>
#include <cstddef>

#include "base/hash.h"

namespace oncegate {
namespace {

std::string_view Bytes(const std::array<uint8_t, 16>& array) {
  return {reinterpret_cast<const char*>(array.data()), array.size()};
}

}  // namespace

RecordId NewRecordId() {
  RecordId id{};
  RandomBytes(id.data(), id.size());
  id[6] = static_cast<uint8_t>((id[6] & 0x0f) | 0x40);  // RFC 9562 section 5.4: version 4
  id[8] = static_cast<uint8_t>((id[8] & 0x3f) | 0x80);  // and its variant
  return id;
}

Token NewToken() {
  Token token{};
  RandomBytes(token.data(), token.size());
  return token;
}

std::string FormatUuid(const RecordId& id) {
  std::string hex = ToHex(Bytes(id));
  for (const size_t position : {8U, 13U, 18U, 23U}) hex.insert(position, 1, '-');
  return hex;
}

std::string FormatToken(const Token& token) {
  return ToHex(Bytes(token));
}

bool IsPresentable(std::string_view text, size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

bool ParseToken(std::string_view text, Token* token) {
  std::string bytes;
  if (text.size() != 2 * token->size() || !FromHex(text, &bytes)) return false;
  std::copy(bytes.begin(), bytes.end(), token->begin());
  return true;
}

std::string_view RecordStateName(RecordState state) {
  switch (state) {
    case RecordState::kInProgress:
      return "in_progress";
    case RecordState::kCompleted:
      return "completed";
    case RecordState::kUnknown:
      return "unknown";
  }
  return "unknown";
}

std::optional<RecordState> ParseRecordState(std::string_view name) {
  for (const RecordState state : {RecordState::kInProgress, RecordState::kCompleted, RecordState::kUnknown}) {
    if (RecordStateName(state) == name) return state;
  }
  return std::nullopt;
}

std::string_view HistoryActionName(HistoryAction action) {
  switch (action) {
    case HistoryAction::kResolved:
      return "resolved";
    case HistoryAction::kRedelivered:
      return "redelivered";
  }
  return "resolved";
}

std::optional<HistoryAction> ParseHistoryAction(std::string_view name) {
  for (const HistoryAction action : {HistoryAction::kResolved, HistoryAction::kRedelivered}) {
    if (HistoryActionName(action) == name) return action;
  }
  return std::nullopt;
}

void AddHistory(HistoryEntry entry, Record* record) {
  std::vector<HistoryEntry>& history = record->history;
  if (history.size() >= kHistoryMax)
    history.erase(history.begin(), history.end() - static_cast<std::ptrdiff_t>(kHistoryMax - 1));
  history.push_back(std::move(entry));
}

}  // namespace oncegate
