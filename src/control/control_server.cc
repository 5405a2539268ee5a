#include "control/control_server.h"

#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "control/event_stream.h"
#include "control/listener.h"
#include "gateway/trace.h"
#include "http/head.h"
#include "http/writer.h"

namespace oncegate::control {
namespace {

using http::ErrorCode;

// Of every answer that does not say otherwise: what is here is nobody's to keep, to guess at, to frame or to run.
constexpr std::pair<const char*, const char*> kSafeFields[] = {
    {"Cache-Control", "no-store"},      {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"}, {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
};

void AppendSafeFields(std::string* bytes) {
  for (const auto& [name, value] : kSafeFields) http::AppendField(name, value, bytes);
}

// The bytes of one request for httplib to read, and those of its answer.
class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string input) : input_(std::move(input)) {}

  [[nodiscard]] bool is_readable() const override { return true; }
  [[nodiscard]] bool is_writable() const override { return true; }
  ssize_t read(char* out, size_t size) override {
    const size_t count = std::min(size, input_.size() - at_);
    std::memcpy(out, input_.data() + at_, count);
    at_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* data, size_t size) override {
    output_.append(data, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override { get_remote_ip_and_port(ip, port); }
  [[nodiscard]] socket_t socket() const override { return INVALID_SOCKET; }

  std::string TakeOutput() { return std::move(output_); }

 private:
  std::string input_;
  size_t at_ = 0;
  std::string output_;
};

void Render(const ApiAnswer& answer, httplib::Response* response) {
  response->status = answer.status;
  for (const auto& [name, value] : answer.fields) {
    response->headers.erase(name);  // a default one
    response->set_header(name, value);
  }
  if (!answer.content_type.empty()) response->set_content(answer.body, answer.content_type);
}

// httplib as the server of one worker. It gets the method and a constant path, and no field: what it would decode,
// decompress, match against regular expressions or take for a range, it never sees. The request as it came is beside
// it.
class Engine final : public httplib::Server {
 public:
  using Answerer = std::function<ApiAnswer(const WholeRequest&)>;

  explicit Engine(Answerer answerer) : answerer_(std::move(answerer)) {
    set_default_headers(httplib::Headers(std::begin(kSafeFields), std::end(kSafeFields)));
    const Handler handle = [this](const httplib::Request&, httplib::Response& response) {
      ApiAnswer answer = answerer_(*request_);
      stream_ = std::move(answer.stream);
      Render(answer, &response);
    };
    Get("/", handle);
    Post("/", handle);
    Put("/", handle);
    Patch("/", handle);
    Delete("/", handle);
    Options("/", handle);
    set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, std::exception_ptr) { Render(Failure(), &response); });
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty()) Render(Unserved(), &response);
    });
    set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
      response.headers.erase("Keep-Alive");
      response.headers.erase("Accept-Ranges");
      if (http::StatusHasNoBody(response.status)) response.headers.erase("Content-Length");
    });
  }

  // The bytes of the answer.
  std::string Serve(const WholeRequest& request, bool keep_alive) {
    request_ = &request;
    MemoryStream stream(request.head.method + " / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    Process(*this, stream, !keep_alive);
    return stream.TakeOutput();
  }
  // How the answer goes on, if it does; what Serve gave is not it then.
  std::unique_ptr<Stream> TakeStream() { return std::move(stream_); }

 private:
  // httplib 0.11 (Debian 12) asks the stream for the addresses, later ones (0.18 in Debian 13) the caller. A template,
  // because only there a call that does not exist is no error.
  template <typename Self>
  static void Process(Self& self, MemoryStream& stream, bool close) {
    bool closed = false;
    if constexpr (requires { self.process_request(stream, close, closed, nullptr); }) {
      self.process_request(stream, close, closed, nullptr);
    } else {
      self.process_request(stream, "", 0, "", 0, close, closed, nullptr);
    }
  }

  static ApiAnswer Failure() {
    return ProblemAnswer(http::Error{.code = ErrorCode::kStoreUnavailable,
                                     .detail = "The request failed inside of the server.",
                                     .retry_after_s = {},
                                     .status = {}});
  }
  // What httplib refuses by itself: methods that it does not know.
  static ApiAnswer Unserved() {
    return ProblemAnswer(http::Error{
        .code = ErrorCode::kNotFound, .detail = "There is no such operation.", .retry_after_s = {}, .status = {}});
  }

  const Answerer answerer_;
  const WholeRequest* request_ = nullptr;
  std::unique_ptr<Stream> stream_;
};

}  // namespace

class ControlServer::Impl final : public Responder {
 public:
  Impl(const ControlOptions& options, const ApiParts& parts, std::unique_ptr<Listener> listener)
      : rules_(options.host, options.tokens), api_(parts), clock_(parts.clock), listener_(std::move(listener)) {
    const bool v6 = options.host.find(':') != std::string::npos;
    const std::string scheme = options.tls == nullptr ? "http://" : "https://";
    address_ = scheme + (v6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(listener_->port());
    for (size_t i = 0; i < options.workers; ++i) {
      engines_.push_back(
          std::make_unique<Engine>([this](const WholeRequest& request) { return Decide(request, false); }));
    }
    listener_->Start(*this);
  }
  ~Impl() override { listener_->Stop(); }

  Answered Answer(const WholeRequest& request, bool keep_alive, size_t worker, bool may_come_later) override {
    // httplib has to have the answer when its handler returns.
    if (may_come_later && ControlApi::MayComeLater(request.head.method, request.head.target)) {
      if (!ControlApi::ComesLater(request.head.target)) Listener::AboutToWait();
      ApiAnswer answer = Decide(request, true);
      if (answer.later) return Later(std::move(answer.later), keep_alive);
      return {BytesOf(answer, keep_alive), nullptr, {}};
    }
    Listener::AboutToWait();
    Engine& engine = *engines_[worker];
    std::string bytes = engine.Serve(request, keep_alive);
    std::unique_ptr<Stream> stream = engine.TakeStream();
    if (stream == nullptr || request.head.method == "HEAD") return {WithDate(std::move(bytes)), nullptr, {}};
    return {WithDate(StreamHead()), std::move(stream), {}};
  }

  std::string Refuse(const http::Error& error) override { return BytesOf(ProblemAnswer(error), /*keep_alive=*/false); }

  // A record may have bodies that are larger than the limit of a request, and what was exported has to come in again.
  [[nodiscard]] size_t BodyBytesMax(const http::RequestHead& head) const override {
    if (head.path() != kImportPath || head.method != "POST") return kBodyBytesMax;
    const AccessRules::Verdict verdict = rules_.Check(head);
    return verdict.refusal || verdict.read_only ? kBodyBytesMax : kImportBytesMax;
  }

  // Without a length: the end of the connection is the end of the answer.
  static std::string StreamHead() {
    std::string bytes;
    http::AppendStatusLine(200, {}, &bytes);
    http::AppendField("Content-Type", EventStream::kContentType, &bytes);
    AppendSafeFields(&bytes);
    http::AppendField("X-Accel-Buffering", "no", &bytes);  // nginx would gather the events otherwise
    http::AppendField("Connection", "close", &bytes);
    return bytes.append("\r\n");
  }

  ApiAnswer Decide(const WholeRequest& request, bool may_come_later) {
    const AccessRules::Verdict verdict = rules_.Check(request.head);
    if (verdict.refusal) return ProblemAnswer(*verdict.refusal);
    return api_.Answer({.method = request.head.method,
                        .target = request.head.target,
                        .body = request.body,
                        .actor = verdict.actor,
                        .read_only = verdict.read_only,
                        .if_none_match = request.head.fields.Find("If-None-Match").value_or(""),
                        .client_ip = request.client_ip,
                        .trace = TraceIdOf(request.head.fields),
                        .client_gone = request.client_gone,
                        .may_come_later = may_come_later});
  }

  AccessRules& rules() { return rules_; }
  ControlApi& api() { return api_; }
  Listener& listener() { return *listener_; }
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  // What httplib does not answer.
  [[nodiscard]] std::string BytesOf(const ApiAnswer& answer, bool keep_alive) const {
    std::string bytes;
    http::AppendStatusLine(answer.status, {}, &bytes);
    if (!answer.content_type.empty()) http::AppendField("Content-Type", answer.content_type, &bytes);
    if (!http::StatusHasNoBody(answer.status)) http::AppendField("Content-Length", answer.body.size(), &bytes);
    AppendSafeFields(&bytes);
    if (!keep_alive) http::AppendField("Connection", "close", &bytes);
    for (const auto& [name, value] : answer.fields) http::AppendField(name, value, &bytes);
    return WithDate(bytes.append("\r\n").append(answer.body));
  }

  [[nodiscard]] Answered Later(std::function<void(ApiAnswer::Done)> later, bool keep_alive) const {
    Answered answered;
    answered.later = [this, later = std::move(later), keep_alive](Answered::Done done) {
      later([this, keep_alive, done = std::move(done)](const std::optional<ApiAnswer>& answer) {
        done(answer ? std::optional(BytesOf(*answer, keep_alive)) : std::nullopt);
      });
    };
    return answered;
  }

  // A server with a clock says when it answered (RFC 9110 section 6.6.1); httplib does not.
  [[nodiscard]] std::string WithDate(std::string answer) const {
    const size_t line_end = answer.find("\r\n");
    if (line_end == std::string::npos) return answer;
    std::string field;
    http::AppendField("Date", http::FormatHttpDate(clock_.WallMs()), &field);
    return answer.insert(line_end + 2, field);
  }

  AccessRules rules_;
  ControlApi api_;
  const Clock& clock_;
  std::string address_;
  std::vector<std::unique_ptr<Engine>> engines_;
  // Last, so that its threads end before what they use.
  std::unique_ptr<Listener> listener_;
};

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;

Result<std::unique_ptr<ControlServer>> ControlServer::Start(const ControlOptions& options, const ApiParts& parts) {
  ListenerOptions listen;
  listen.host = options.host;
  listen.port = options.port;
  listen.workers = options.workers;
  if (options.seats > 0) listen.seats = options.seats;
  listen.tls = options.tls;
  Result<std::unique_ptr<Listener>> listener = Listener::Bind(listen, parts.clock, parts.logger);
  if (!listener.ok()) return listener.status();
  auto impl = std::make_unique<Impl>(options, parts, *std::move(listener));
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

const std::string& ControlServer::address() const {
  return impl_->address();
}
void ControlServer::SetTokens(std::vector<ControlToken> tokens) {
  impl_->rules().SetTokens(std::move(tokens));
  // Whoever still has a token connects again.
  impl_->listener().EndStreams();
}
void ControlServer::SetTls(std::shared_ptr<const tls::ServerContext> tls) {
  impl_->listener().SetTls(std::move(tls));
}
void ControlServer::StartDraining() {
  impl_->api().StartDraining();
}
void ControlServer::Stop() {
  impl_->listener().Stop();
}

}  // namespace oncegate::control
