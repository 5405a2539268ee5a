#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cli/command_line.h"

namespace oncegate::cli {

// A request that somebody kept, as its sender made it.
struct SavedRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string url;  // the whole address, where it is known
};

// Where a command gets one: a raw file or standard input, or the flags that curl would have been given.
class RequestSource {
 public:
  // The flags and the argument. This object outlives the line's parsing.
  void AddTo(CommandLine& line);

  // InvalidArgument for what is not a request, or given in both ways.
  [[nodiscard]] Result<SavedRequest> Read() const;

 private:
  [[nodiscard]] Result<SavedRequest> FromFlags() const;
  [[nodiscard]] Status ReadData(const std::vector<std::string>& values, bool binary, std::string* body) const;

  std::string file_;
  std::string method_;
  std::string url_;
  std::vector<std::string> headers_;
  std::vector<std::string> data_;         // as a form, or from a file less its line ends
  std::vector<std::string> data_binary_;  // as it is
};

// A raw request as people save it: lines may end with LF alone, and Host may be missing.
Result<SavedRequest> ParseSavedRequest(std::string_view text);

}  // namespace oncegate::cli
