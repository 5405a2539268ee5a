#include "cli/saved_request.h"

#include <algorithm>
#include <iostream>
#include <iterator>

#include "cli/files.h"
#include "webhook/request.h"

namespace oncegate::cli {
namespace {

constexpr size_t kRequestBytesMax = 64 << 20;

Result<std::string> ReadWhole(const std::string& file) {
  if (!file.empty() && file != "-") return ReadSmallFile(file, kRequestBytesMax);
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (text.size() > kRequestBytesMax) return InvalidArgument("the request is larger than 64 MiB");
  return text;
}

std::string_view Trimmed(std::string_view value) {
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  return value.substr(0, value.find_last_not_of(" \t") + 1);
}

bool HasHeader(const SavedRequest& request, std::string_view name) {
  return std::any_of(request.headers.begin(), request.headers.end(),
                     [name](const auto& header) { return SameName(header.first, name); });
}

// "Name: value"; "Name;" has no value, and "Name:" is none at all, as with curl.
Status AddHeader(std::string_view line, SavedRequest* request) {
  const size_t end = line.find_first_of(":;");
  const bool empty = end != std::string_view::npos && Trimmed(line.substr(end + 1)).empty();
  if (end == std::string_view::npos || end == 0 || (line[end] == ';' && !empty))
    return InvalidArgument("--header: '" + std::string(line) + "' is not like 'Name: value'");
  if (line[end] == ';' || !empty) request->headers.emplace_back(line.substr(0, end), Trimmed(line.substr(end + 1)));
  return OkStatus();
}

// "https://host/path?query", or only its path.
Status TakeUrl(std::string_view url, SavedRequest* request) {
  if (url.starts_with('/')) {
    request->target = url;
    return OkStatus();
  }
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos || scheme == 0 || scheme + 3 == url.size())
    return InvalidArgument("--url: '" + std::string(url) +
                           "' is not an address such as https://hooks.example.com/orders");
  request->url = url.substr(0, url.find('#'));
  std::string_view rest = std::string_view(request->url).substr(scheme + 3);
  const std::string_view host = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(host.size());
  request->target = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
  if (!HasHeader(*request, "Host")) request->headers.emplace_back("Host", host);
  return OkStatus();
}

}  // namespace

Result<SavedRequest> ParseSavedRequest(std::string_view text) {
  SavedRequest request;
  bool first = true;
  while (true) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return InvalidArgument("the request has no empty line after its head");
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() && !first) break;
    if (first) {
      const size_t method = line.find(' ');
      const size_t target = line.rfind(' ');
      if (method == std::string_view::npos || target == method || !line.substr(target + 1).starts_with("HTTP/"))
        return InvalidArgument("the first line is not like 'POST /webhook HTTP/1.1'");
      request.method = line.substr(0, method);
      request.target = line.substr(method + 1, target - method - 1);
      first = false;
      continue;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0)
      return InvalidArgument("'" + std::string(line) + "' is not a header; one empty line divides head and body");
    request.headers.emplace_back(line.substr(0, colon), Trimmed(line.substr(colon + 1)));
  }
  request.body = text;
  if (request.target.find("://") < request.target.find('/')) request.url = request.target;
  return request;
}

void RequestSource::AddTo(CommandLine& line) {
  line.Argument("FILE", &file_, "The request: head, empty line, body; standard input if absent",
                CommandLine::Need::kOptional);
  line.Text("-X,--method,--request", "METHOD", &method_, "Instead of a file: its method; POST if there is a body");
  line.Text("--url", "URL", &url_, "Its address, or the path alone; counts as --public-url where that is not given");
  line.Texts("-H,--header", "LINE", &headers_, "A header of it, 'Name: value'; repeatable");
  line.Texts("-d,--data", "DATA", &data_,
             "Its body, as curl would send it: several are joined by &, @FILE is read less its line ends");
  line.Texts("--data-binary", "DATA", &data_binary_, "Its body, or @FILE, byte for byte");
  line.Exclude("--data-binary", "--data");
}

Status RequestSource::ReadData(const std::vector<std::string>& values, bool binary, std::string* body) const {
  for (const std::string& value : values) {
    std::string text = value;
    if (value.starts_with('@')) {
      const Result<std::string> file = ReadWhole(value.substr(1));
      if (!file.ok()) return file.status();
      text = *file;
      if (!binary) std::erase_if(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
    }
    if (&value != &values.front()) body->push_back('&');
    body->append(text);
  }
  return OkStatus();
}

Result<SavedRequest> RequestSource::FromFlags() const {
  SavedRequest request;
  for (const std::string& header : headers_) {
    if (Status status = AddHeader(header, &request); !status.ok()) return status;
  }
  request.target = "/";
  if (!url_.empty()) {
    if (Status status = TakeUrl(url_, &request); !status.ok()) return status;
  }
  const bool has_body = !data_.empty() || !data_binary_.empty();
  const bool binary = data_.empty();
  if (Status status = ReadData(binary ? data_binary_ : data_, binary, &request.body); !status.ok()) return status;
  if (has_body && !HasHeader(request, "Content-Type"))
    request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  request.method = !method_.empty() ? method_ : has_body ? "POST" : "GET";
  return request;
}

Result<SavedRequest> RequestSource::Read() const {
  const bool flags = !method_.empty() || !url_.empty() || !headers_.empty() || !data_.empty() || !data_binary_.empty();
  if (flags && !file_.empty())
    return InvalidArgument("'" + file_ +
                           "' and flags such as --header are two requests; the body in a file is "
                           "--data-binary @" +
                           file_);
  if (flags) return FromFlags();
  const Result<std::string> text = ReadWhole(file_);
  return text.ok() ? ParseSavedRequest(*text) : text.status();
}

}  // namespace oncegate::cli
