#include "ingress/client_address.h"

#include <gtest/gtest.h>

#include <string>

#include "http/head.h"

namespace oncegate {
namespace {

AddressRanges Ranges(const std::vector<std::string>& texts) {
  AddressRanges ranges;
  for (const std::string& text : texts) {
    const Result<AddressRange> range = AddressRange::Parse(text);
    EXPECT_TRUE(range.ok()) << text;
    if (range.ok()) ranges.push_back(*range);
  }
  return ranges;
}

TEST(AddressRange, ContainsWhatBeginsWithItsBits) {
  const struct {
    const char* range;
    const char* address;
    bool contained;
  } rows[] = {
      {"10.0.0.0/8", "10.255.1.2", true},
      {"10.0.0.0/8", "11.0.0.0", false},
      {"10.0.0.0/8", "::ffff:10.1.2.3", true},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7", "192.0.2.6", false},
      {"192.0.2.4/30", "192.0.2.7", true},
      {"192.0.2.4/30", "192.0.2.8", false},
      {"0.0.0.0/0", "203.0.113.9", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "2001:db8::1", true},
      {"2001:db8::/32", "2001:db8:ffff::1", true},
      {"2001:db8::/32", "2001:db9::1", false},
      {"2001:db8::1", "2001:db8::1", true},
      {"fd00::/9", "fd7f::1", true},
      {"fd00::/9", "fd80::1", false},
  };
  for (const auto& row : rows) {
    const auto address = IpAddress::Parse(row.address);
    ASSERT_TRUE(address) << row.address;
    EXPECT_EQ(ContainsAddress(Ranges({row.range}), *address), row.contained) << row.range << " " << row.address;
  }
}

TEST(AddressRange, RefusesTheRestAndSaysWhatWouldBeRight) {
  for (const char* text : {"", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "host/8", "::/129",
                           "[::1]/128", "10.0.0.0 /8"}) {
    EXPECT_EQ(AddressRange::Parse(text).status().message(),
              "'" + std::string(text) + "' is not an address or a network such as 10.0.0.0/8 or 2001:db8::/32");
  }
  EXPECT_EQ(AddressRange::Parse("10.1.2.3/8").status().message(),
            "'10.1.2.3/8' has bits behind its prefix; the network is 10.0.0.0/8");
  EXPECT_EQ(AddressRange::Parse("2001:db8::1/32").status().message(),
            "'2001:db8::1/32' has bits behind its prefix; the network is 2001:db8::/32");
}

TEST(IpAddress, ReadsAndWritesBothKinds) {
  for (const char* text : {"192.0.2.7", "::1", "2001:db8::7"}) EXPECT_EQ(IpAddress::Parse(text)->Text(), text);
  EXPECT_EQ(IpAddress::Parse("::ffff:192.0.2.7")->Text(), "192.0.2.7");
  for (const char* text :
       {"", "1.2.3", "1.2.3.256", "::g", "1.2.3.4 ", "[::1]", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"})
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
}

// The peer is 10.0.0.1; 10.0.0.0/8 and fd00::/8 are trusted.
TEST(ClientBehind, IsTheLastAddressThatNoTrustedProxyHas) {
  const struct {
    const char* fields;
    const char* client;
  } rows[] = {
      {"", "10.0.0.1"},
      {"X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
      {"x-forwarded-for:192.0.2.7\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.2.2.2\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 6.6.6.6, 192.0.2.7,10.2.2.2 ,fd00::9\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.2.2.2\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 10.3.3.3, 10.2.2.2\r\n", "10.3.3.3"},
      {"X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"},
      {"X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"},
      {"X-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7"},
      {"X-Forwarded-For: unknown\r\n", "10.0.0.1"},
      {"X-Forwarded-For: 192.0.2.7, unknown\r\n", "10.0.0.1"},
      {"X-Forwarded-For: 192.0.2.7, unknown, 10.2.2.2\r\n", "10.2.2.2"},
      {"X-Forwarded-For: 192.0.2.7,\r\n", "10.0.0.1"},
      {"X-Forwarded-For:\r\n", "10.0.0.1"},
      {"Forwarded: for=192.0.2.7\r\n", "192.0.2.7"},
      {"Forwarded: for=6.6.6.6, for=192.0.2.7;proto=https;by=10.0.0.1\r\n", "192.0.2.7"},
      {"Forwarded: proto=https; FOR=\"192.0.2.7:4711\"\r\n", "192.0.2.7"},
      {"Forwarded: for=\"[2001:db8::7]:4711\", for=10.2.2.2\r\n", "2001:db8::7"},
      {"Forwarded: for=_hidden\r\n", "10.0.0.1"},
      {"Forwarded: proto=https\r\n", "10.0.0.1"},
      {"Forwarded: for=6.6.6.6;x=\"\r\nForwarded: for=192.0.2.7\r\n", "192.0.2.7"},
      {"Forwarded: for=6.6.6.6;x=\", for=192.0.2.7\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=192.0.2.7\r\n", "10.0.0.1"},
      {"X-Forwarded-For: 192.0.2.7\r\nForwarded: for=6.6.6.6\r\n", "10.0.0.1"},
      {"X-Forwarded-For: 10.2.2.2\r\nForwarded: for=192.0.2.7\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 192.0.2.7, 10.2.2.2\r\nForwarded: for=10.2.2.2\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 10.2.2.2\r\nForwarded: for=10.3.3.3\r\n", "10.2.2.2"},
  };
  const AddressRanges trusted = Ranges({"10.0.0.0/8", "fd00::/8"});
  for (const auto& row : rows) {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(row.fields) + "\r\n";
    http::RequestHead head;
    http::HeadParser parser;
    ASSERT_EQ(parser.ParseRequest(text, &head), http::ParseState::kDone) << row.fields;
    EXPECT_EQ(ClientBehind(*IpAddress::Parse("10.0.0.1"), head.fields, trusted).Text(), row.client) << row.fields;
  }
}

// The same proxies.
TEST(ClientUsedTls, IsWhatTheProxySaysThatSawTheClient) {
  const struct {
    const char* fields;
    std::optional<bool> tls;
  } rows[] = {
      {"", std::nullopt},
      {"X-Forwarded-Proto: https\r\n", true},
      {"X-Forwarded-Proto: HTTP\r\n", false},
      {"X-Forwarded-Proto: gopher\r\n", std::nullopt},
      {"X-Forwarded-For: 192.0.2.7, 10.2.2.2\r\nX-Forwarded-Proto: https, http\r\n", true},
      {"X-Forwarded-For: 192.0.2.7, 10.2.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", true},
      {"X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-Proto: https, http\r\n", false},
      {"X-Forwarded-For: 192.0.2.7, 10.3.3.3, 10.2.2.2\r\nX-Forwarded-Proto: https\r\n", true},
      {"X-Forwarded-Proto: https, http\r\n", false},
      {"Forwarded: for=192.0.2.7;proto=https\r\n", true},
      {"Forwarded: proto=\"https\"\r\n", true},
      {"Forwarded: for=192.0.2.7;proto=https, for=10.2.2.2;proto=http\r\n", true},
      {"Forwarded: for=6.6.6.6;proto=https, for=192.0.2.7;proto=http\r\n", false},
      {"Forwarded: for=192.0.2.7;proto=https\r\nX-Forwarded-Proto: http\r\n", false},
      {"X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7;proto=https\r\n", true},
      {"X-Forwarded-For: 192.0.2.7\r\nForwarded: for=6.6.6.6;proto=https\r\n", std::nullopt},
      {"X-Forwarded-For: 192.0.2.7\r\nForwarded: proto=https\r\n", std::nullopt},
  };
  const AddressRanges trusted = Ranges({"10.0.0.0/8", "fd00::/8"});
  for (const auto& row : rows) {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(row.fields) + "\r\n";
    http::RequestHead head;
    http::HeadParser parser;
    ASSERT_EQ(parser.ParseRequest(text, &head), http::ParseState::kDone) << row.fields;
    const IpAddress client = ClientBehind(*IpAddress::Parse("10.0.0.1"), head.fields, trusted);
    EXPECT_EQ(ClientUsedTls(client, head.fields, trusted), row.tls) << row.fields;
  }
}

}  // namespace
}  // namespace oncegate
