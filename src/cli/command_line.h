#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/app.h"

namespace oncegate::cli {

// The arguments and flags that one command takes, and the command line read by them. Declare first, then Parse once.
// What is read goes to the variables that were named; what these hold before is the default, which the help shows.
// Not thread-safe. Everything of CLI11 is behind this header: its own are slow to compile.
class CommandLine {
 public:
  enum class Need : uint8_t { kOptional, kRequired };

  // `name` as people type it, "oncegate get".
  CommandLine(std::string description, std::string name);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // A word without dashes. All targets outlive Parse.
  void Argument(const std::string& name, std::string* value, const std::string& help, Need need = Need::kRequired);
  // `flag` with its dashes; `value_name` stands for the value in the help.
  void Text(const std::string& flag, const std::string& value_name, std::string* value, const std::string& help,
            Need need = Need::kOptional);
  void Number(const std::string& flag, const std::string& value_name, uint32_t* value, const std::string& help);
  void Choice(const std::string& flag, std::string* value, const std::vector<std::string>& choices,
              const std::string& help, Need need = Need::kOptional);
  // Every value of a flag that may be repeated.
  void Texts(const std::string& flag, const std::string& value_name, std::vector<std::string>* values,
             const std::string& help);
  void Switch(const std::string& flag, bool* value, const std::string& help);
  // Any number of values of whatever form: somebody else says what is wrong with them. Found in Collected().
  void Collect(const std::string& flag, const std::string& group, const std::string& value_name,
               const std::string& default_text, const std::string& help);

  // Called by Parse when everything is read.
  void OnParsed(std::function<void()> callback);

  // The two flags make no sense together. REQUIRES: both are declared.
  void Exclude(const std::string& flag, const std::string& other);
  // Printed below the flags by --help.
  void Footer(const std::string& text);

  // Nothing: everything is read, go on. Otherwise the exit code: the help, or what is wrong, was printed.
  std::optional<int> Parse(const Arguments& arguments, const Console& console);

  // After Parse: whether a flag was given; the values of the flags of Collect that were, by name without dashes.
  [[nodiscard]] bool Given(const std::string& flag) const;
  [[nodiscard]] std::map<std::string, std::vector<std::string>, std::less<>> Collected() const;

 private:
  struct Parser;
  const std::unique_ptr<Parser> parser_;
};

// The only argument of a command: prints its arguments and flags, a line each: name, what stands for the value (nothing
// for a switch) and help, divided by tabs. For what is made from them.
inline constexpr std::string_view kDescribeFlags = "--describe-flags";

// One value of a file in CLI11's configuration format (TOML, in essence).
struct ConfigValue {
  std::vector<std::string> sections;
  std::string name;
  std::vector<std::string> values;
};

// InvalidArgument with the reader's words if it is not in that format.
Result<std::vector<ConfigValue>> ReadConfigValues(std::istream& in);

std::string_view CommandLineLibraryVersion();

}  // namespace oncegate::cli
