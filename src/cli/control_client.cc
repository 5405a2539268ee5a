#include "cli/control_client.h"

#include <httplib.h>

#include <optional>
#include <ostream>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "cli/tables.h"
#include "control/access.h"
#include "control/api.h"
#include "control/target.h"
#include "store/rocksdb_store.h"
#include "upstream/http_upstream.h"

namespace oncegate::cli {
namespace {

constexpr time_t kConnectSeconds = 3;
constexpr time_t kReadSeconds = 30;
// A cleanup answers when it is done.
constexpr time_t kChangeSeconds = 3600;

Result<ControlReply> AskDirectory(const std::string& directory, std::string_view method, const std::string& target) {
  const SystemClock clock;
  Logger logger(LogFormat::kText, LogLevel::kError);
  RocksDbStoreOptions options;
  options.directory = directory;
  options.read_only = true;
  const Result<std::unique_ptr<Store>> store = OpenRocksDbStore(options, clock, logger);
  if (!store.ok()) return Unavailable(store.status().message());
  control::ControlApi api(
      {.store = **store, .clock = clock, .logger = logger, .gateway = nullptr, .probe_upstream = {}, .running = false});
  control::ApiAnswer answer = api.Answer({.method = method, .target = target, .body = {}, .actor = {}});
  return ControlReply{answer.status, std::move(answer.body)};
}

Result<ControlReply> AskServer(const ClientFlags& flags, std::string_view method, const std::string& target) {
  const Result<UpstreamUrl> url = UpstreamUrl::Parse(flags.control);
  if (!url.ok() || !url->prefix.empty())
    return InvalidArgument("--control: '" + flags.control + "' is not http://host:port or https://host:port");
  httplib::Headers headers{{"Host", url->authority}};
  if (!flags.token_file.empty()) {
    const Result<std::string> token = control::LoadFirstToken(flags.token_file);
    if (!token.ok()) return InvalidArgument("--control-token-file: " + token.status().message());
    headers.emplace("Authorization", "Bearer " + *token);
  }
  // The system's certificates are trusted, or those in the file that SSL_CERT_FILE names.
  httplib::Client client((url->tls ? "https://" : "http://") + url->authority);
  client.set_connection_timeout(kConnectSeconds);
  client.set_read_timeout(method == "GET" ? kReadSeconds : kChangeSeconds);
  client.set_tcp_nodelay(true);
  httplib::Request request;
  request.method = method;
  request.path = target;
  request.headers = std::move(headers);
  const httplib::Result result = client.send(request);
  if (!result) {
    const bool refused = result.error() == httplib::Error::Connection;
    return Unavailable("no server answers at " + flags.control +
                       (refused ? "" : " (" + httplib::to_string(result.error()) + ")"));
  }
  return ControlReply{result->status, result->body};
}

}  // namespace

Result<ControlReply> AskControl(const ClientFlags& flags, std::string_view method, const std::string& target) {
  return flags.data_dir.empty() ? AskServer(flags, method, target) : AskDirectory(flags.data_dir, method, target);
}

int AskAndPrint(const ClientFlags& flags, const Question& question, const Console& console) {
  const Result<ControlReply> reply = AskControl(flags, question.method, question.target);
  if (!reply.ok()) {
    const bool usage = reply.status().code() == StatusCode::kInvalidArgument;
    return Fail(console, usage ? kExitUsage : kExitFailed, reply.status().message());
  }
  if (reply->status == 404 && !question.not_found.empty()) return Fail(console, kExitFailed, question.not_found);
  if (reply->status == 401 && flags.token_file.empty())
    return Fail(console, kExitFailed, "the server asks for a token; give --control-token-file");
  if (reply->status >= 300) return Fail(console, kExitFailed, ProblemText(reply->status, reply->body));
  if (flags.json) {
    if (!reply->body.empty()) console.out << reply->body << "\n" << std::flush;
    return kExitOk;
  }
  const Result<std::string> text = question.render(reply->body);
  if (!text.ok()) return Fail(console, kExitFailed, text.status().message());
  console.out << *text << std::flush;
  return kExitOk;
}

std::string RecordTarget(const std::string& scope, const std::string& key) {
  return "/v1/records/" + control::PercentEncode(scope) + "/" + control::PercentEncode(key);
}

}  // namespace oncegate::cli
