#pragma once

#include <functional>
#include <memory>
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

// Asks a running server, or, with --data-dir, the store itself, which is then open for reading as long as this lives:
// both give the same JSON. Not thread-safe.
class ControlClient {
 public:
  // InvalidArgument for flags that make no sense, Unavailable for a store that cannot be opened.
  static Result<std::unique_ptr<ControlClient>> Open(const ClientFlags& flags);
  virtual ~ControlClient() = default;

  // `target` is encoded. Unavailable if nobody answers.
  virtual Result<ControlReply> Ask(std::string_view method, const std::string& target, const std::string& body) = 0;
};

// Asks, and prints the answer: as it came (--json), or as `render` makes it fit for people. What goes wrong becomes one
// line on standard error, `not_found` where the server has no such record. Returns the exit code.
struct Question {
  std::string_view method = "GET";
  std::string target;
  std::string body;
  std::string not_found;
  std::string progress;  // what it does meanwhile, in a few words, if it may take long
  std::function<Result<std::string>(const std::string& json)> render;
  std::function<void(const std::string& json)> examine;  // sees the answer, too; may be empty
};
int AskAndPrint(const ClientFlags& flags, const Question& question, const Console& console);

// One line that says what went wrong; the exit code.
int FailWith(const Status& status, const Console& console);

// "/v1/records/{scope}/{key}".
std::string RecordTarget(const std::string& scope, const std::string& key);

}  // namespace oncegate::cli
