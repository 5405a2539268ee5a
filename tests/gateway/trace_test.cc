#include "gateway/trace.h"

#include "tests/gateway/gateway_fixture.h"

namespace oncegate {
namespace {

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";

TEST(TraceTest, IsTheIdOfAWellFormedTraceparentOnly) {
  struct Row {
    std::string fields;
    std::string wanted;
  };
  const std::string good = "00-" + std::string(kTrace) + "-00f067aa0ba902b7-01";
  const auto with = [](const std::string& value, const std::string& wanted) {
    return Row{"Traceparent: " + value + "\r\n", wanted};
  };
  const Row rows[] = {
      with(good, kTrace),
      with("cc" + good.substr(2) + "-what-comes-later", kTrace),
      with(good + "-more", ""),
      with("cc" + good.substr(2) + "more", ""),
      with("ff" + good.substr(2), ""),
      with("00-" + std::string(32, '0') + "-00f067aa0ba902b7-01", ""),
      with("00-" + std::string(kTrace) + "-0000000000000000-01", ""),
      with("00-" + std::string(32, 'A') + "-00f067aa0ba902b7-01", ""),
      with("00_" + std::string(kTrace) + "-00f067aa0ba902b7-01", ""),
      with("00-" + std::string(kTrace) + "-00f067aa0ba902b7-0", ""),
      with("00-" + std::string(kTrace) + "\" x=\"-00f067aa0ba902b-01", ""),
      {"traceparent: " + good + "\r\ntraceparent: " + good + "\r\n", ""},
      {"", ""},
  };
  for (const Row& row : rows) {
    http::RequestHead head;
    http::HeadParser parser;
    ASSERT_EQ(parser.ParseRequest("GET / HTTP/1.1\r\nHost: app\r\n" + row.fields + "\r\n", &head),
              http::ParseState::kDone)
        << row.fields;
    EXPECT_EQ(TraceIdOf(head.fields), row.wanted) << row.fields;
  }
}

class TraceInGatewayTest : public GatewayTest {};

TEST_F(TraceInGatewayTest, TheApplicationGetsTraceparentAndTracestateAsTheyCame) {
  Start();
  const std::string fields =
      "traceparent: 00-" + std::string(kTrace) + "-00f067aa0ba902b7-01\r\ntracestate: vendor=a, other=b\r\n";
  Post("evt_1", fields).Get();
  ASSERT_EQ(upstream_.executions(), 1U);
  EXPECT_NE(upstream_.heads()[0].find("\r\n" + fields), std::string::npos) << upstream_.heads()[0];
}

}  // namespace
}  // namespace oncegate
