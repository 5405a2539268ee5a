#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "cli/terminal.h"
#include "store/backup.h"

namespace oncegate::cli {

// What the control API's JSON says, for people. Values come from strangers, so that control characters are shown as
// '?'. Internal for what is not the JSON that is expected: the other end is not this program.
Result<std::string> RecordsText(const std::string& json, Colours colours = Colours::kNone);
Result<std::string> RecordText(const std::string& json, Colours colours = Colours::kNone);
Result<std::string> StatsText(const std::string& json, Colours colours = Colours::kNone);
Result<std::string> CleanupText(const std::string& json);
Result<std::string> BackupText(const std::string& json);
Result<std::string> VerifyText(const std::string& json);
std::string RestoreText(const RestoreReport& report, const std::string& directory);

// Whether a verification found no difference.
bool IsSound(const std::string& json);

// Control characters as '?'.
std::string Printable(std::string_view text, bool multi_line = false);

// A problem+json answer as one line.
std::string ProblemText(int status, const std::string& json);

}  // namespace oncegate::cli
