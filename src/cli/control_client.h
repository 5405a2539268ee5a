#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cli/app.h"
#include "cli/client_flags.h"

namespace oncegate::cli {

struct ControlReply {
  int status = 0;
  std::string body;
};

// One question to a running server, or, with --data-dir, to the store itself: both give the same JSON. `target` is
// encoded. InvalidArgument for flags that make no sense, Unavailable if nobody answers.
Result<ControlReply> AskControl(const ClientFlags& flags, std::string_view method, const std::string& target);

// Asks, and prints the answer: as it came (--json), or as `render` makes it fit for people. What goes wrong becomes one
// line on standard error, `not_found` where the server has no such record. Returns the exit code.
struct Question {
  std::string_view method = "GET";
  std::string target;
  std::string not_found;
  std::function<Result<std::string>(const std::string& json)> render;
};
int AskAndPrint(const ClientFlags& flags, const Question& question, const Console& console);

// "/v1/records/{scope}/{key}".
std::string RecordTarget(const std::string& scope, const std::string& key);

}  // namespace oncegate::cli
