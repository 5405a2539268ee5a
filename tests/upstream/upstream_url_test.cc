#include <gtest/gtest.h>

#include <string>

#include "upstream/http_upstream.h"

namespace oncegate {
namespace {

struct Row {
  std::string_view text;
  std::string_view parsed;  // "tls host port authority prefix", or empty if it is refused
};

constexpr Row kRows[] = {
    {"http://app", "0 app 80 app "},
    {"http://app/", "0 app 80 app "},
    {"http://app:80", "0 app 80 app "},
    {"https://app", "1 app 443 app "},
    {"https://app:80", "1 app 80 app:80 "},
    {"HTTPS://App.Example:8443/api/", "1 App.Example 8443 App.Example:8443 /api"},
    {"http://127.0.0.1:3000/a/b//", "0 127.0.0.1 3000 127.0.0.1:3000 /a/b"},
    {"http://[::1]", "0 ::1 80 [::1] "},
    {"http://[::1]:3000/x", "0 ::1 3000 [::1]:3000 /x"},
    {"http://a_b-c:65535", "0 a_b-c 65535 a_b-c:65535 "},
    {"", ""},
    {"app:3000", ""},
    {"//app", ""},
    {"http:app", ""},
    {"ftp://app", ""},
    {"unix:///run/app", ""},
    {"http://", ""},
    {"http:///x", ""},
    {"http://:3000", ""},
    {"http://user@app", ""},
    {"http://user:pw@app", ""},
    {"http://app?x", ""},
    {"http://app/?x", ""},
    {"http://app/#x", ""},
    {"http://app/a b", ""},
    {"http://app/a\r\nb", ""},
    {"http://a b", ""},
    {"http://app:", ""},
    {"http://app:0", ""},
    {"http://app:65536", ""},
    {"http://app:-1", ""},
    {"http://app:+1", ""},
    {"http://app:3000x", ""},
    {"http://app:3000:1", ""},
    {"http://[::1", ""},
    {"http://[app]", ""},
    {"http://[::1]x", ""},
    {"http://::1", ""},
    {"http://[]", ""},
};

TEST(UpstreamUrl, Table) {
  for (const Row& row : kRows) {
    const Result<UpstreamUrl> url = UpstreamUrl::Parse(std::string(row.text));
    if (row.parsed.empty()) {
      ASSERT_FALSE(url.ok()) << row.text;
      EXPECT_EQ(url.status().code(), StatusCode::kInvalidArgument) << row.text;
      EXPECT_NE(url.status().message().find("http://host:port"), std::string::npos) << row.text;
      continue;
    }
    ASSERT_TRUE(url.ok()) << row.text << ": " << url.status().message();
    EXPECT_EQ(std::to_string(url->tls ? 1 : 0) + " " + url->host + " " + std::to_string(url->port) + " " +
                  url->authority + " " + url->prefix,
              row.parsed)
        << row.text;
  }
}

}  // namespace
}  // namespace oncegate
