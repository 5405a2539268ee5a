#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "core/record.h"

namespace oncegate::control {

// One line of an import (docs/migrate.md): a record as the control API shows it, or a row of an older system with the
// members key, type, status, body, created and expires. What is left out gets what a new record would have; scope is
// then `default_scope`. Claims in progress become unknown: whoever made them is not here.
// InvalidArgument, with a sentence that names the member, for a member that is not known, has the wrong type or makes
// no sense, and for anything that is not one JSON object.
Result<Record> ParseImportLine(std::string_view line, std::string_view default_scope, int64_t now_ms);

}  // namespace oncegate::control
