#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "control/api.h"
#include "control/json_writer.h"
#include "control/target.h"

// For the .cc files of this folder that hold operations.
namespace oncegate::control {

// One request to one operation: the parts of the target that the operation's pattern leaves open are in `target`.
struct ControlApi::Call {
  const Target& target;
  std::string_view body;
  std::string_view actor;
  bool read_only = false;
  std::string_view if_none_match;
  std::string_view client_ip;
  std::string_view trace;
  const std::function<bool()>& client_gone;
  bool may_come_later = false;

  [[nodiscard]] const std::string& scope() const { return target.segments[2]; }
  [[nodiscard]] const std::string& key() const { return target.segments[3]; }
  [[nodiscard]] ScopedKey scoped_key() const { return {scope(), key()}; }
};

inline ApiAnswer Problem(http::ErrorCode code, std::string detail) {
  return ProblemAnswer(http::Error{.code = code, .detail = std::move(detail), .retry_after_s = {}, .status = {}});
}

inline ApiAnswer Json(JsonWriter json, int status = 200) {
  ApiAnswer answer;
  answer.status = status;
  answer.body = json.Take();
  return answer;
}

}  // namespace oncegate::control
