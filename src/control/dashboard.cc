#include "control/dashboard.h"

#include <algorithm>
#include <array>
#include <utility>

#include "control/api_call.h"
#include "http/chars.h"

namespace oncegate::control {
namespace {

constexpr std::string_view kPage = "index.html";

// Keys, types and bodies come from strangers. Should one ever reach the page as anything but text, nothing runs: only
// our own files are scripts, no text becomes markup (Trusted Types), and nothing can be sent elsewhere.
constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kContentTypes = {{
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
}};

std::string_view ContentType(std::string_view name) {
  for (const auto& [suffix, type] : kContentTypes) {
    if (name.ends_with(suffix)) return type;
  }
  return "text/plain; charset=utf-8";
}

}  // namespace

ApiAnswer ControlApi::Dashboard(const Call& call) {
  const bool page = call.target.segments.size() == 1;
  const std::string_view name = page ? kPage : std::string_view(call.target.segments[1]);
  const std::span<const EmbeddedFile> files = DashboardFiles();
  const auto file = std::find_if(files.begin(), files.end(), [name](const EmbeddedFile& f) { return f.name == name; });
  if (file == files.end() || page != (name == kPage))
    return Problem(http::ErrorCode::kNotFound, "The dashboard has no such file.");
  ApiAnswer answer;
  const std::string etag = '"' + std::string(file->sha256) + '"';
  answer.fields = {
      {"ETag", etag},
      {"Cache-Control", "no-cache"},  // kept, and asked for anew: another version of the server has other files
      {"Content-Security-Policy", std::string(kContentSecurityPolicy)},
      {"Referrer-Policy", "no-referrer"},
      {"X-Frame-Options", "DENY"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
  };
  if (http::ListHasToken(call.if_none_match, etag) || http::ListHasToken(call.if_none_match, "W/" + etag)) {
    answer.status = 304;
    answer.content_type.clear();
    return answer;
  }
  answer.content_type = ContentType(name);
  answer.body = file->text;
  return answer;
}

}  // namespace oncegate::control
