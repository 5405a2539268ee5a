#include "cli/flag_sources.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <optional>

#include "cli/command_line.h"

namespace oncegate::cli {
namespace {

constexpr std::string_view kConfigFlag = "config";
constexpr std::string_view kSection = "serve";

std::string Join(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text.append(text.empty() ? "" : ",").append(value);
  return text;
}

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> values;
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    values.emplace_back(text.substr(0, comma));
    if (comma == text.size()) return values;
    text.remove_prefix(comma + 1);
  }
}

const KnownFlag* FindFlag(const std::vector<KnownFlag>& known, std::string_view name) {
  const auto it = std::find_if(known.begin(), known.end(), [name](const KnownFlag& flag) { return flag.name == name; });
  return it == known.end() ? nullptr : &*it;
}

std::string FullName(const ConfigValue& item) {
  std::string name;
  for (const std::string& section : item.sections) name.append(section).push_back('.');
  return name + item.name;
}

// The file that is named, or nothing.
std::optional<std::string> ConfigFile(const FlagSources& sources) {
  if (const auto it = sources.command_line.find(kConfigFlag); it != sources.command_line.end())
    return it->second.back();
  if (const char* file = sources.variable(VariableName(kConfigFlag).c_str()); file != nullptr && *file != '\0')
    return file;
  return std::nullopt;
}

Status ReadFile(const std::string& file, const std::vector<KnownFlag>& known, GivenFlags* given) {
  std::ifstream in(file);
  if (!in) return InvalidArgument("--config: '" + file + "' cannot be read");
  const Result<std::vector<ConfigValue>> items = ReadConfigValues(in);
  if (!items.ok()) return InvalidArgument("--config: '" + file + "': " + items.status().message());
  if (in.bad()) return InvalidArgument("--config: '" + file + "' cannot be read");
  for (const ConfigValue& item : *items) {
    const bool in_place = item.sections.empty() || (item.sections.size() == 1 && item.sections.front() == kSection);
    const KnownFlag* flag = in_place ? FindFlag(known, item.name) : nullptr;
    const std::string origin = file + ": " + FullName(item);
    if (flag == nullptr) return InvalidArgument(origin + ": there is no such flag of serve");
    if (given->contains(item.name)) return InvalidArgument(origin + ": given twice");
    // Lists such as `methods = POST,PATCH` arrive in pieces.
    const std::vector<std::string> joined{Join(item.values)};
    given->emplace(item.name, GivenFlag{.values = flag->repeatable ? item.values : joined, .origin = origin});
  }
  return OkStatus();
}

void ReadVariables(const FlagSources& sources, const std::vector<KnownFlag>& known, GivenFlags* given) {
  for (const KnownFlag& flag : known) {
    const std::string name = VariableName(flag.name);
    const char* value = sources.variable(name.c_str());
    if (value == nullptr || *value == '\0') continue;
    GivenFlag values{.values = flag.repeatable ? Split(value) : std::vector<std::string>{value}, .origin = name};
    given->insert_or_assign(std::string(flag.name), std::move(values));
  }
}

}  // namespace

std::string VariableName(std::string_view flag) {
  std::string name = "ONCEGATE_";
  for (const char c : flag) {
    name.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return name;
}

Result<GivenFlags> MergeFlags(const FlagSources& sources, const std::vector<KnownFlag>& known) {
  GivenFlags given;
  if (const std::optional<std::string> file = ConfigFile(sources)) {
    if (Status status = ReadFile(*file, known, &given); !status.ok()) return status;
  }
  ReadVariables(sources, known, &given);
  for (const KnownFlag& flag : known) {
    const auto it = sources.command_line.find(flag.name);
    if (it == sources.command_line.end()) continue;
    const std::string origin = "--" + it->first;
    if (!flag.repeatable && it->second.size() > 1) return InvalidArgument(origin + ": given twice");
    given.insert_or_assign(it->first, GivenFlag{.values = it->second, .origin = origin});
  }
  return given;
}

}  // namespace oncegate::cli
