#include "cli/control_client.h"

#include <httplib.h>

#include <optional>
#include <ostream>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "cli/tables.h"
#include "cli/terminal.h"
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

class DirectoryClient final : public ControlClient {
 public:
  static Result<std::unique_ptr<ControlClient>> Open(const std::string& directory) {
    auto client = std::make_unique<DirectoryClient>();
    RocksDbStoreOptions options;
    options.directory = directory;
    options.read_only = true;
    Result<std::unique_ptr<Store>> store = OpenRocksDbStore(options, client->clock_, client->logger_);
    if (!store.ok()) return Unavailable(store.status().message());
    client->store_ = *std::move(store);
    client->api_.emplace(control::ApiParts{.store = *client->store_,
                                           .clock = client->clock_,
                                           .logger = client->logger_,
                                           .gateway = nullptr,
                                           .probe_upstream = {},
                                           .running = false});
    return std::unique_ptr<ControlClient>(std::move(client));
  }

  Result<ControlReply> Ask(std::string_view method, const std::string& target, const std::string& body) override {
    control::ApiAnswer answer = api_->Answer({.method = method, .target = target, .body = body, .actor = {}});
    return ControlReply{answer.status, std::move(answer.body)};
  }

 private:
  SystemClock clock_;
  Logger logger_{LogFormat::kText, LogLevel::kError};
  std::unique_ptr<Store> store_;
  std::optional<control::ControlApi> api_;
};

class ServerClient final : public ControlClient {
 public:
  static Result<std::unique_ptr<ControlClient>> Open(const ClientFlags& flags) {
    const Result<UpstreamUrl> url = UpstreamUrl::Parse(flags.control);
    if (!url.ok() || !url->prefix.empty())
      return InvalidArgument("--control: '" + flags.control + "' is not http://host:port or https://host:port");
    httplib::Headers headers{{"Host", url->authority}};
    if (!flags.token_file.empty()) {
      const Result<std::string> token = control::LoadFirstToken(flags.token_file);
      if (!token.ok()) return InvalidArgument("--control-token-file: " + token.status().message());
      headers.emplace("Authorization", "Bearer " + *token);
    }
    return std::unique_ptr<ControlClient>(new ServerClient(flags, *url, std::move(headers)));
  }

  Result<ControlReply> Ask(std::string_view method, const std::string& target, const std::string& body) override {
    client_.set_read_timeout(method == "GET" ? kReadSeconds : kChangeSeconds);
    httplib::Request request;
    request.method = method;
    request.path = target;
    request.headers = headers_;
    request.body = body;
    if (!body.empty()) request.headers.emplace("Content-Type", "application/json");
    const httplib::Result result = client_.send(request);
    if (!result) {
      const bool refused = result.error() == httplib::Error::Connection;
      return Unavailable("no server answers at " + address_ +
                         (refused ? "" : " (" + httplib::to_string(result.error()) + ")"));
    }
    if (result->status == 401 && !has_token_)
      return Unavailable("the server asks for a token; give --control-token-file");
    return ControlReply{result->status, result->body};
  }

 private:
  ServerClient(const ClientFlags& flags, const UpstreamUrl& url, httplib::Headers headers)
      : address_(flags.control),
        has_token_(!flags.token_file.empty()),
        headers_(std::move(headers)),
        client_((url.tls ? "https://" : "http://") + url.authority) {
    client_.set_connection_timeout(kConnectSeconds);
    client_.set_tcp_nodelay(true);
    client_.set_keep_alive(true);
  }

  const std::string address_;
  const bool has_token_;
  const httplib::Headers headers_;
  // The system's certificates are trusted, or those in the file that SSL_CERT_FILE names.
  httplib::Client client_;
};

}  // namespace

Result<std::unique_ptr<ControlClient>> ControlClient::Open(const ClientFlags& flags) {
  return flags.data_dir.empty() ? ServerClient::Open(flags) : DirectoryClient::Open(flags.data_dir);
}

int FailWith(const Status& status, const Console& console) {
  const bool usage = status.code() == StatusCode::kInvalidArgument;
  return Fail(console, usage ? kExitUsage : kExitFailed, status.message());
}

int AskAndPrint(const ClientFlags& flags, const Question& question, const Console& console) {
  const Result<std::unique_ptr<ControlClient>> client = ControlClient::Open(flags);
  if (!client.ok()) return FailWith(client.status(), console);
  std::optional<Progress> progress;
  if (!question.progress.empty()) progress.emplace(console, question.progress);
  const Result<ControlReply> reply = (*client)->Ask(question.method, question.target, question.body);
  progress.reset();
  if (!reply.ok()) return FailWith(reply.status(), console);
  if (reply->status == 404 && !question.not_found.empty()) return Fail(console, kExitFailed, question.not_found);
  if (reply->status >= 300) return Fail(console, kExitFailed, ProblemText(reply->status, reply->body));
  if (question.examine) question.examine(reply->body);
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
