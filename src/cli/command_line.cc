#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <istream>
#include <ostream>
#include <set>
#include <utility>

namespace oncegate::cli {
namespace {

constexpr size_t kHelpColumn = 44;

// CLI11's wording, less the class of the error and its advice to read the help, in one line.
std::string Explain(const CLI::App& app, const CLI::ParseError& error) {
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> extras = app.remaining();
    const std::string first = extras.empty() ? "" : extras.front();
    text = "'" + first + (first.starts_with('-') ? "' is no flag" : "' is not expected");
  } else if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    text = text.substr(0, text.find(':')) + ": needs one value";
  } else if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    text = text.substr(0, text.find(' ')) + " is missing";
  }
  return text + "; see '" + app.get_name() + " --help'";
}

}  // namespace

struct CommandLine::Parser {
  Parser(std::string description, std::string name) : app(std::move(description), std::move(name)) {}

  CLI::App app;
  std::set<std::string> collected;  // flags of Collect, with dashes
};

CommandLine::CommandLine(std::string description, std::string name)
    : parser_(std::make_unique<Parser>(std::move(description), std::move(name))) {}

CommandLine::~CommandLine() = default;

void CommandLine::Argument(const std::string& name, std::string* value, const std::string& help, Need need) {
  parser_->app.add_option(name, *value, help)->required(need == Need::kRequired);
}

void CommandLine::Text(const std::string& flag, const std::string& value_name, std::string* value,
                       const std::string& help, Need need) {
  CLI::Option* option = parser_->app.add_option(flag, *value, help);
  option->type_name(value_name)->required(need == Need::kRequired);
  if (!value->empty()) option->capture_default_str();
}

void CommandLine::Number(const std::string& flag, const std::string& value_name, uint32_t* value,
                         const std::string& help) {
  parser_->app.add_option(flag, *value, help)->type_name(value_name)->capture_default_str();
}

void CommandLine::Choice(const std::string& flag, std::string* value, const std::vector<std::string>& choices,
                         const std::string& help, Need need) {
  parser_->app.add_option(flag, *value, help)->required(need == Need::kRequired)->check(CLI::IsMember(choices));
}

void CommandLine::Texts(const std::string& flag, const std::string& value_name, std::vector<std::string>* values,
                        const std::string& help) {
  // A value in brackets, such as a JSON array, is one value all the same.
  CLI::Option* option = parser_->app.add_option(flag, *values, help);
  option->type_name(value_name)->expected(1)->allow_extra_args(false)->take_all();
}

void CommandLine::Switch(const std::string& flag, bool* value, const std::string& help) {
  parser_->app.add_flag(flag, *value, help);
}

void CommandLine::Collect(const std::string& flag, const std::string& group, const std::string& value_name,
                          const std::string& default_text, const std::string& help) {
  CLI::Option* option = parser_->app.add_option(
      flag, [](const CLI::results_t&) { return true; }, help);
  option->type_name(value_name)->group(group)->expected(1)->take_all();
  option->default_str(default_text);
  parser_->collected.insert(flag);
}

void CommandLine::Exclude(const std::string& flag, const std::string& other) {
  parser_->app.get_option(flag)->excludes(parser_->app.get_option(other));
}

void CommandLine::OnParsed(std::function<void()> callback) {
  parser_->app.final_callback(std::move(callback));
}

void CommandLine::Footer(const std::string& text) {
  parser_->app.footer(text);
  parser_->app.get_formatter()->column_width(kHelpColumn);
}

std::optional<int> CommandLine::Parse(const Arguments& arguments, const Console& console) {
  CLI::App& app = parser_->app;
  if (arguments.size() == 1 && arguments.front() == kDescribeFlags) {
    for (const CLI::Option* option : app.get_options()) {
      const bool flag = option->nonpositional();
      const bool takes_value = flag && option->get_items_expected_max() > 0;
      console.out << (flag ? "--" : "") << option->get_single_name() << "\t"
                  << (takes_value ? option->get_type_name() : "") << "\t" << option->get_description() << "\n";
    }
    return kExitOk;
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    console.out << app.help() << std::flush;
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    return Fail(console, kExitUsage, Explain(app, error));
  }
}

bool CommandLine::Given(const std::string& flag) const {
  return parser_->app.count(flag) > 0;
}

std::map<std::string, std::vector<std::string>, std::less<>> CommandLine::Collected() const {
  std::map<std::string, std::vector<std::string>, std::less<>> values;
  for (const std::string& flag : parser_->collected) {
    const CLI::Option* option = parser_->app.get_option(flag);
    if (option->count() > 0) values[option->get_single_name()] = option->results();
  }
  return values;
}

Result<std::vector<ConfigValue>> ReadConfigValues(std::istream& in) {
  std::vector<ConfigValue> values;
  try {
    for (CLI::ConfigItem& item : CLI::ConfigTOML().from_config(in)) {
      if (item.name == "++" || item.name == "--") continue;  // where a section begins and ends
      values.push_back({std::move(item.parents), std::move(item.name), std::move(item.inputs)});
    }
  } catch (const std::exception& error) {
    return InvalidArgument(error.what());
  }
  return values;
}

std::string_view CommandLineLibraryVersion() {
  return CLI11_VERSION;
}

}  // namespace oncegate::cli
