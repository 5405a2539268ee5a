#include <gtest/gtest.h>

#include "ingress/ingress.h"

namespace oncegate {
namespace {

TEST(Endpoint, ReadsHostAndPort) {
  struct Case {
    const char* text;
    const char* host;
    int port;
  };
  for (const Case& c : {Case{"127.0.0.1:8080", "127.0.0.1", 8080}, Case{"localhost:0", "localhost", 0},
                        Case{"[::1]:65535", "::1", 65535}, Case{"0.0.0.0:80", "0.0.0.0", 80}}) {
    const Result<Endpoint> endpoint = Endpoint::Parse(c.text);
    ASSERT_TRUE(endpoint.ok()) << c.text;
    EXPECT_EQ(endpoint->host, c.host) << c.text;
    EXPECT_EQ(endpoint->port, c.port) << c.text;
  }
}

TEST(Endpoint, RefusesTheRest) {
  for (const char* text : {"", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x",
                           "::1:80", "[::1]", "[]:80", "[::1:80", "8080"})
    EXPECT_FALSE(Endpoint::Parse(text).ok()) << "[" << text << "]";
}

}  // namespace
}  // namespace oncegate
