#include "cli/version.h"

#include <httplib.h>
#include <openssl/crypto.h>
#include <rocksdb/version.h>
#include <simdjson.h>
#include <spdlog/version.h>

#include <ostream>
#include <string>

#include "cli/app.h"
#include "cli/command_line.h"

namespace oncegate::cli {
namespace {

std::string Dotted(int major, int minor, int patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

std::string_view BuildType() {
  constexpr std::string_view kType = ONCEGATE_BUILD_TYPE;
  return kType.empty() ? "unspecified" : kType;
}

}  // namespace

std::string_view Version() {
  return ONCEGATE_VERSION;
}

int RunVersion(const Arguments& arguments, const Console& console) {
  CommandLine line("Shows version, build and library versions.", "oncegate version");
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  console.out << "oncegate " << Version() << "\n"
              << "build    " << BuildType() << ", " << ONCEGATE_COMPILER << ", C++20\n"
              << "rocksdb  " << Dotted(ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH) << "\n"
              << "httplib  " << CPPHTTPLIB_VERSION << "\n"
              << "simdjson "
              << Dotted(simdjson::SIMDJSON_VERSION_MAJOR, simdjson::SIMDJSON_VERSION_MINOR,
                        simdjson::SIMDJSON_VERSION_REVISION)
              << "\n"
              << "cli11    " << CommandLineLibraryVersion() << "\n"
              << "openssl  " << OpenSSL_version(OPENSSL_VERSION_STRING) << "\n"
              << "spdlog   " << Dotted(SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH) << "\n"
              << std::flush;
  return kExitOk;
}

}  // namespace oncegate::cli
