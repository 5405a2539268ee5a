#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/serve_flags.h"

namespace oncegate::cli {

using Given = std::map<std::string, std::vector<std::string>, std::less<>>;
using Variables = std::map<std::string, std::string>;

// What `serve` makes of flags and environment variables.
inline Result<ServeOptions> Read(const Given& flags, const Variables& variables = {}) {
  FlagSources sources;
  sources.command_line = flags;
  sources.variable = [&variables](const char* name) -> const char* {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  };
  return ReadServeOptions(sources);
}

// The same, where nothing may be wrong.
inline ServeOptions MustRead(const Given& flags, const Variables& variables = {}) {
  Result<ServeOptions> options = Read(flags, variables);
  EXPECT_TRUE(options.ok()) << options.status().message();
  return options.ok() ? *std::move(options) : ServeOptions();
}

}  // namespace oncegate::cli
