#pragma once

#include <string>

#include "store/store.h"

namespace oncegate::control {

// The answers of the operations that keep a store, for the command line, too, which does some of them without a server.
std::string BackupJson(const BackupReport& report);

}  // namespace oncegate::control
