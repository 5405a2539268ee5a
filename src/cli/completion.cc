// What shells and `man` are told of the commands and their flags, made from what the commands themselves declare.

#include <algorithm>
#include <map>
#include <ostream>
#include <sstream>

#include "cli/app.h"
#include "cli/command_line.h"

namespace oncegate::cli {
namespace {

struct Flag {
  std::string name;   // with dashes, or that of an argument
  std::string value;  // what stands for its value; empty: it takes none
  std::string help;

  [[nodiscard]] bool is_argument() const { return !name.starts_with('-'); }
};

// Asks a command for its flags.
std::vector<Flag> FlagsFor(const CommandInfo& command) {
  std::ostringstream out;
  command.run({std::string(kDescribeFlags)}, {out, out});
  std::vector<Flag> flags;
  std::istringstream lines(out.str());
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find('\t');
    const size_t second = line.find('\t', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    flags.push_back({line.substr(0, first), line.substr(first + 1, second - first - 1), line.substr(second + 1)});
  }
  return flags;
}

bool IsPath(const Flag& flag) {
  return flag.value == "FILE" || flag.value == "DIR" || flag.name == "FILE" || flag.name == "DIR";
}

std::string NamesOf(const std::vector<Flag>& flags) {
  std::string names;
  for (const Flag& flag : flags) {
    if (!flag.is_argument()) names.append(names.empty() ? "" : " ").append(flag.name);
  }
  return names;
}

// "a|b", or CLI11's "TEXT:{a,b}", as "a b": the words of a flag that takes one of a few.
std::string WordsOf(const Flag& flag) {
  std::string words = flag.value;
  if (const size_t brace = words.find('{'); brace != std::string::npos && words.ends_with('}'))
    words = words.substr(brace + 1, words.size() - brace - 2);
  if (words.find_first_of("|,") == std::string::npos) return {};
  std::replace_if(
      words.begin(), words.end(), [](char c) { return c == '|' || c == ','; }, ' ');
  return words;
}

void WriteBash(std::ostream& out) {
  out << "# bash completion for oncegate; made by 'oncegate completion bash'\n"
         "_oncegate() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words=\"";
  for (const CommandInfo& command : Commands()) out << command.name << " ";
  out << "\"\n  else\n    case ${COMP_WORDS[1]} in\n";
  for (const CommandInfo& command : Commands()) {
    const std::vector<Flag> flags = FlagsFor(command);
    out << "      " << command.name << ")\n        case $prev in\n";
    for (const Flag& flag : flags) {
      if (flag.is_argument() || flag.value.empty()) continue;
      out << "          " << flag.name << ") ";
      if (IsPath(flag)) {
        out << "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n";
      } else {
        out << "mapfile -t COMPREPLY < <(compgen -W \"" << WordsOf(flag) << "\" -- \"$cur\"); return ;;\n";
      }
    }
    const bool path =
        std::any_of(flags.begin(), flags.end(), [](const Flag& f) { return f.is_argument() && IsPath(f); });
    out << "        esac\n        words=\"" << NamesOf(flags) << "\"\n";
    if (path) out << "        [[ $cur == -* ]] || { mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return; }\n";
    out << "        ;;\n";
  }
  out << "    esac\n  fi\n  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
         "complete -F _oncegate oncegate\n";
}

// zsh reads bash's completions.
void WriteZsh(std::ostream& out) {
  out << "#compdef oncegate\n# zsh completion for oncegate; made by 'oncegate completion zsh'\n"
         "autoload -U +X bashcompinit && bashcompinit\n";
  WriteBash(out);
}

std::string FishQuoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "'";
}

void WriteFish(std::ostream& out) {
  out << "# fish completion for oncegate; made by 'oncegate completion fish'\ncomplete -c oncegate -f\n";
  for (const CommandInfo& command : Commands()) {
    out << "complete -c oncegate -n __fish_use_subcommand -a " << command.name << " -d " << FishQuoted(command.help)
        << "\n";
    for (const Flag& flag : FlagsFor(command)) {
      if (flag.is_argument() || !flag.name.starts_with("--")) continue;
      out << "complete -c oncegate -n '__fish_seen_subcommand_from " << command.name << "' -l " << flag.name.substr(2);
      if (!flag.value.empty()) out << (IsPath(flag) ? " -r -F" : " -x");
      if (const std::string words = WordsOf(flag); !words.empty()) out << " -a " << FishQuoted(words);
      out << " -d " << FishQuoted(flag.help) << "\n";
    }
  }
}

}  // namespace

int RunCompletion(const Arguments& arguments, const Console& console) {
  CommandLine line("Prints what a shell needs to complete commands and flags.", "oncegate completion");
  std::string shell;
  line.Argument("SHELL", &shell, "bash, zsh or fish");
  line.Footer("bash: source <(oncegate completion bash)");
  if (const auto exit_code = line.Parse(arguments, console)) return *exit_code;
  const std::map<std::string_view, void (*)(std::ostream&)> shells{
      {"bash", WriteBash}, {"zsh", WriteZsh}, {"fish", WriteFish}};
  const auto found = shells.find(shell);
  if (found == shells.end()) return Fail(console, kExitUsage, "SHELL: '" + shell + "' is not bash, zsh or fish");
  found->second(console.out);
  return console.out.flush() ? kExitOk : Fail(console, kExitFailed, "standard output cannot be written");
}

}  // namespace oncegate::cli
