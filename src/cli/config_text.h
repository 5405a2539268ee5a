#pragma once

#include <string>

#include "cli/serve_flags.h"

namespace oncegate::cli {

// What is in force, in the form of a --config file: a flag a line, with where its value comes from ("--ttl",
// "ONCEGATE_TTL", "once.toml: ttl", "profile twilio", "default"). Read as a file it brings the same into force. What
// has no value, or must not count as given, is a comment; so are routes, which have a file of their own. Secrets are
// not among the values: flags hold the names of their files.
std::string ConfigInForce(const ServeOptions& options);

// data/oncegate.toml: every flag with its help and its default.
std::string ConfigTemplate();

}  // namespace oncegate::cli
