#pragma once

#include <string>

#include "base/status.h"

namespace oncegate::cli {

// What the control API's JSON says, for people. Values come from strangers, so that control characters are shown as
// '?'. Internal for what is not the JSON that is expected: the other end is not this program.
Result<std::string> RecordsText(const std::string& json);
Result<std::string> RecordText(const std::string& json);
Result<std::string> StatsText(const std::string& json);
Result<std::string> CleanupText(const std::string& json);

// A problem+json answer as one line.
std::string ProblemText(int status, const std::string& json);

}  // namespace oncegate::cli
