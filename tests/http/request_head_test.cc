#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "http/head.h"
#include "tests/http/rows.h"

namespace oncegate::http {
namespace {

struct RequestHeadRow {
  std::string_view request;
  // "METHOD TARGET VERSION BODY PERSISTENCE [100]", an error's name, or "more".
  std::string_view verdict;
};

constexpr std::string_view kBad = "bad-request";
constexpr std::string_view kPlain = "GET / 1.1 none keep";

constexpr RequestHeadRow kRequestLines[] = {
    {"GET / HTTP/1.1|Host: a||", kPlain},
    {"|GET / HTTP/1.1|Host: a||", kPlain},
    {"||GET / HTTP/1.1|Host: a||", kBad},
    {"<0a>GET / HTTP/1.1|Host: a||", kBad},
    {"<0d>GET / HTTP/1.1|Host: a||", kBad},
    {" GET / HTTP/1.1|Host: a||", kBad},
    {"<09>GET / HTTP/1.1|Host: a||", kBad},
    {" |GET / HTTP/1.1|Host: a||", kBad},
    {"get / HTTP/1.1|Host: a||", "get / 1.1 none keep"},
    {"M-SEARCH / HTTP/1.1|Host: a||", "M-SEARCH / 1.1 none keep"},
    {"!#$%&'*+-.^_`<7c>~ / HTTP/1.1|Host: a||", "!#$%&'*+-.^_`|~ / 1.1 none keep"},
    {"GET/ HTTP/1.1|Host: a||", kBad},
    {"GE(T / HTTP/1.1|Host: a||", kBad},
    {"GE<00>T / HTTP/1.1|Host: a||", kBad},
    {"G<c3><89>T / HTTP/1.1|Host: a||", kBad},
    {"GET  / HTTP/1.1|Host: a||", kBad},
    {"GET /  HTTP/1.1|Host: a||", kBad},
    {"GET<09>/ HTTP/1.1|Host: a||", kBad},
    {"GET /<09>HTTP/1.1|Host: a||", kBad},
    {"GET / HTTP/1.1 |Host: a||", kBad},
    {"GET / HTTP/1.1<09>|Host: a||", kBad},
    {"GET /a b HTTP/1.1|Host: a||", kBad},
    {"GET /a<09>b HTTP/1.1|Host: a||", kBad},
    {"GET /a<00>b HTTP/1.1|Host: a||", kBad},
    {"GET /a<7f>b HTTP/1.1|Host: a||", kBad},
    {"GET /a<80>b HTTP/1.1|Host: a||", kBad},
    {"GET /<c3><a9> HTTP/1.1|Host: a||", kBad},
    {"GET /a#b HTTP/1.1|Host: a||", kBad},
    {"GET # HTTP/1.1|Host: a||", kBad},
    {"GET /a?b#c HTTP/1.1|Host: a||", kBad},
    {"GET|Host: a||", kBad},
    {"GET /|Host: a||", kBad},
    {"GET / |Host: a||", kBad},
    {"GET  HTTP/1.1|Host: a||", kBad},
    {" / HTTP/1.1|Host: a||", kBad},
    {"GET / HTTP/1.1", "more"},
    {"GET / HTTP/1.1<0d>", "more"},
    {"GET / HTTP/1.1|", "more"},
    {"GET / HTTP/1.1|Host: a|", "more"},
    {"GET / HTTP/1.1|Host: a|<0d>", "more"},
    {"", "more"},
    {"<0d>", "more"},
    {"|", "more"},
    {"GET / HTTP/1.1<0a>Host: a<0a><0a>", kBad},
    {"GET / HTTP/1.1<0d>Host: a||", kBad},
    {"GET / HTTP/1.1<0d><0d><0a>Host: a||", kBad},
    {"GET / HTTP/0.9|Host: a||", kBad},
    {"GET / HTTP/1.2|Host: a||", kBad},
    {"GET / HTTP/2.0|Host: a||", kBad},
    {"GET / HTTP/2|Host: a||", kBad},
    {"GET / HTTP/1.10|Host: a||", kBad},
    {"GET / HTTP/01.1|Host: a||", kBad},
    {"GET / HTTP/1,1|Host: a||", kBad},
    {"GET / HTTP/1.|Host: a||", kBad},
    {"GET / HTTP 1.1|Host: a||", kBad},
    {"GET / http/1.1|Host: a||", kBad},
    {"GET / HTTPS/1.1|Host: a||", kBad},
    {"GET / ICY/1.1|Host: a||", kBad},
    {"PRI * HTTP/2.0||SM||", kBad},
    {"<16><03><01><02><00><01><00><01>", kBad},
    {"{<22>id<22>: 1}|", kBad},
};

constexpr RequestHeadRow kTargets[] = {
    {"GET /a%2Fb?c=%00&d HTTP/1.1|Host: a||", "GET /a%2Fb?c=%00&d 1.1 none keep"},
    {"GET //a/../b HTTP/1.1|Host: a||", "GET //a/../b 1.1 none keep"},
    {"GET /\\<3c>^`{}<7c><22> HTTP/1.1|Host: a||", "GET /\\<^`{}|\" 1.1 none keep"},
    {"GET /?? HTTP/1.1|Host: a||", "GET /?? 1.1 none keep"},
    {"GET ?a HTTP/1.1|Host: a||", kBad},
    {"GET a HTTP/1.1|Host: a||", kBad},
    {"GET a/b HTTP/1.1|Host: a||", kBad},
    {"GET \\ HTTP/1.1|Host: a||", kBad},
    {"OPTIONS * HTTP/1.1|Host: a||", "OPTIONS * 1.1 none keep"},
    {"GET * HTTP/1.1|Host: a||", kBad},
    {"POST * HTTP/1.1|Host: a||", kBad},
    {"options * HTTP/1.1|Host: a||", kBad},
    {"OPTIONS ** HTTP/1.1|Host: a||", kBad},
    {"GET http://a/b?c HTTP/1.1|Host: a||", "GET /b?c 1.1 none keep"},
    {"GET HTTP://A/b HTTP/1.1|Host: a||", "GET /b 1.1 none keep"},
    {"GET https://a:8443/ HTTP/1.1|Host: A:8443||", "GET / 1.1 none keep"},
    {"GET http://a HTTP/1.1|Host: a||", kPlain},
    {"GET http://a?q=1 HTTP/1.1|Host: a||", "GET /?q=1 1.1 none keep"},
    {"GET http://a//b HTTP/1.1|Host: a||", "GET //b 1.1 none keep"},
    {"GET http://[::1]:80/ HTTP/1.1|Host: [::1]:80||", kPlain},
    {"GET http://a/ HTTP/1.0|Host: a||", "GET / 1.0 none close"},
    {"GET http://b/ HTTP/1.1|Host: a||", kBad},
    {"GET http://a:80/ HTTP/1.1|Host: a||", kBad},
    {"GET http://a/ HTTP/1.1|Host: a:80||", kBad},
    {"GET http://a.b/ HTTP/1.1|Host: a||", kBad},
    {"GET http://u@a/ HTTP/1.1|Host: a||", kBad},
    {"GET http://a@b/ HTTP/1.1|Host: b||", kBad},
    {"GET http://a\\@b/ HTTP/1.1|Host: b||", kBad},
    {"GET http:///x HTTP/1.1|Host: a||", kBad},
    {"GET http:// HTTP/1.1|Host: a||", kBad},
    {"GET http:/a HTTP/1.1|Host: a||", kBad},
    {"GET http:a HTTP/1.1|Host: a||", kBad},
    {"GET ftp://a/ HTTP/1.1|Host: a||", kBad},
    {"GET file:///etc/passwd HTTP/1.1|Host: a||", kBad},
    {"GET http://a/ HTTP/1.0||", kBad},
    {"GET http://a/ HTTP/1.1||", kBad},
    {"CONNECT a:443 HTTP/1.1|Host: a:443||", kBad},
    {"CONNECT / HTTP/1.1|Host: a||", kBad},
    {"CONNECT http://a/ HTTP/1.1|Host: a||", kBad},
    {"GET a:443 HTTP/1.1|Host: a:443||", kBad},
};

constexpr RequestHeadRow kHosts[] = {
    {"GET / HTTP/1.1||", kBad},
    {"GET / HTTP/1.0||", "GET / 1.0 none close"},
    {"GET / HTTP/1.1|Host:a||", kPlain},
    {"GET / HTTP/1.1|hOsT: <09> a <09>||", kPlain},
    {"GET / HTTP/1.1|Host:||", kBad},
    {"GET / HTTP/1.1|Host: ||", kBad},
    {"GET / HTTP/1.0|Host:||", kBad},
    {"GET / HTTP/1.1|Host: a|Host: a||", kBad},
    {"GET / HTTP/1.1|Host: a|X: y|host: b||", kBad},
    {"GET / HTTP/1.0|Host: a|Host: a||", kBad},
    {"GET / HTTP/1.1|Host : a||", kBad},
    {"GET / HTTP/1.1| Host: a||", kBad},
    {"GET / HTTP/1.1|Host: a b||", kBad},
    {"GET / HTTP/1.1|Host: a/b||", kBad},
    {"GET / HTTP/1.1|Host: a@b||", kBad},
    {"GET / HTTP/1.1|Host: a?b||", kBad},
    {"GET / HTTP/1.1|Host: a#b||", kBad},
    {"GET / HTTP/1.1|Host: a\\b||", kBad},
    {"GET / HTTP/1.1|Host: <22>a<22>||", kBad},
    {"GET / HTTP/1.1|Host: <3c>a||", kBad},
    {"GET / HTTP/1.1|Host: <c3><a9>||", kBad},
    {"GET / HTTP/1.1|Host: a<09>b||", kBad},
    {"GET / HTTP/1.1|Host: a.example:8080||", kPlain},
    {"GET / HTTP/1.1|Host: [2001:db8::1]:80||", kPlain},
    {"GET / HTTP/1.1|Host: a_b-c.d~e%20||", kPlain},
    {"GET / HTTP/1.1|Host: a,b||", kPlain},
};

constexpr RequestHeadRow kFields[] = {
    {"GET / HTTP/1.1|Host: a|X:||", kPlain},
    {"GET / HTTP/1.1|Host: a|X: <09> ||", kPlain},
    {"GET / HTTP/1.1|Host: a|X: a<09>b||", kPlain},
    {"GET / HTTP/1.1|Host: a|X: <80><ff>||", kPlain},
    {"GET / HTTP/1.1|Host: a|X: :||", kPlain},
    {"GET / HTTP/1.1|Host: a|!#$%&'*+-.^_`<7c>~: 1||", kPlain},
    {"GET / HTTP/1.1|Host: a|: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X||", kBad},
    {"GET / HTTP/1.1|Host: a|X 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X : 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X<09>: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X Y: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X(Y: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X/Y: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X@Y: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|<22>X<22>: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X<80>: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|<c3><a9>: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X<00>: 1||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <00>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a<00>b||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <01>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <08>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <0b>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <0c>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <1b>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <1f>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <7f>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: 12345678<7f>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: <09><09><09><09><09><09><09><09><01>||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a<0d>b||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a<0a>b||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a<0a>Y: b||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a<0d>Y: b||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a<0d>|Y: b||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a| b||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a|<09>b||", kBad},
    {"GET / HTTP/1.1|Host: a|X: a| |", kBad},
    {"GET / HTTP/1.1| X: a|Host: a||", kBad},
    {"GET / HTTP/1.1|Host: a|<0a>", kBad},
    {"GET / HTTP/1.1|Host: a|<0d>a", kBad},
    {"GET / HTTP/1.1|Host: a<0a><0a>", kBad},
    {"GET / HTTP/1.1|Host: a|<0d><0d><0a>", kBad},
};

constexpr RequestHeadRow kBodies[] = {
    {"POST / HTTP/1.1|Host: a|Content-Length: 5||hello", "POST / 1.1 length=5 keep"},
    {"POST / HTTP/1.1|Host: a|Content-Length: 0||", "POST / 1.1 none keep"},
    {"POST / HTTP/1.1|Host: a|Content-Length: 0005||", "POST / 1.1 length=5 keep"},
    {"POST / HTTP/1.1|Host: a|Content-Length:<09>5 ||", "POST / 1.1 length=5 keep"},
    {"POST / HTTP/1.1|Host: a|CONTENT-LENGTH: 5||", "POST / 1.1 length=5 keep"},
    {"GET / HTTP/1.1|Host: a|Content-Length: 5||", "GET / 1.1 length=5 keep"},
    {"POST / HTTP/1.0|Content-Length: 5||", "POST / 1.0 length=5 close"},
    {"POST / HTTP/1.1|Host: a|Content-Length: 9223372036854775807||", "POST / 1.1 length=9223372036854775807 keep"},
    {"POST / HTTP/1.1|Host: a|Content-Length: 9223372036854775808||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 9999999999999999999||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 18446744073709551616||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 18446744073709551621||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 00000000000000000005||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length:||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: ||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: +5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: -5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: -0||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 0x5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5.0||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5e0||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 1_0||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: <22>5<22>||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5 5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5<09>5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5,5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5, 6||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: ,5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5;||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: <d9><a5>||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5|Content-Length: 5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5|Content-Length: 6||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 0|content-length: 0||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length : 5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5| ,6||", kBad},
    {"POST / HTTP/1.1|Host: a|Content_Length: 5||", "POST / 1.1 none keep"},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked||", "POST / 1.1 chunked keep"},
    {"POST / HTTP/1.1|Host: a|transfer-encoding: ChUnKeD ||", "POST / 1.1 chunked keep"},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding:<09>chunked||", "POST / 1.1 chunked keep"},
    {"GET / HTTP/1.1|Host: a|Transfer-Encoding: chunked||", "GET / 1.1 chunked keep"},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Content-Length: 5||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 5|Transfer-Encoding: chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 0|Transfer-Encoding: chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: identity|Content-Length: 5||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: x||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: x|Transfer-Encoding: chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding:||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: identity||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: xchunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunkedx||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked,||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: ,chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, identity||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked;q=1||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: <22>chunked<22>||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: 'chunked'||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: <0b>chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: <a0>chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chun<00>ked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding : chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding<09>: chunked||", kBad},
    {"POST / HTTP/1.1|Host: a| Transfer-Encoding: chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|X: y<0a>Transfer-Encoding: chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding:| chunked||", kBad},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding<80>: chunked||", kBad},
    {"POST / HTTP/1.0|Host: a|Transfer-Encoding: chunked||", kBad},
    {"POST / HTTP/1.0|Host: a|Transfer-Encoding: identity||", kBad},
};

constexpr RequestHeadRow kConnections[] = {
    {"GET / HTTP/1.1|Host: a|Connection: close||", "GET / 1.1 none close"},
    {"GET / HTTP/1.1|Host: a|Connection: CLOSE||", "GET / 1.1 none close"},
    {"GET / HTTP/1.1|Host: a|Connection: x, close ,y||", "GET / 1.1 none close"},
    {"GET / HTTP/1.1|Host: a|Connection: x|Connection: close||", "GET / 1.1 none close"},
    {"GET / HTTP/1.1|Host: a|Connection: keep-alive, close||", "GET / 1.1 none close"},
    {"GET / HTTP/1.1|Host: a|Connection: closed||", kPlain},
    {"GET / HTTP/1.1|Host: a|Connection:||", kPlain},
    {"GET / HTTP/1.1|Host: a|Connection: upgrade|Upgrade: h2c||", kPlain},
    {"GET / HTTP/1.0|Connection: keep-alive||", "GET / 1.0 none keep"},
    {"GET / HTTP/1.0|Connection: Keep-Alive||", "GET / 1.0 none keep"},
    {"GET / HTTP/1.0|Connection: keep-alive|Connection: close||", "GET / 1.0 none close"},
    {"POST / HTTP/1.1|Host: a|Content-Length: 1|Expect: 100-continue||", "POST / 1.1 length=1 keep 100"},
    {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Expect: 100-Continue||", "POST / 1.1 chunked keep 100"},
    {"POST / HTTP/1.1|Host: a|Expect: 100-continue||", "POST / 1.1 none keep"},
    {"POST / HTTP/1.1|Host: a|Content-Length: 1|Expect: 200-ok||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 1|Expect:||", kBad},
    {"POST / HTTP/1.1|Host: a|Content-Length: 1|Expect: 100-continue, x||", kBad},
    {"POST / HTTP/1.0|Content-Length: 1|Expect: 100-continue||", "POST / 1.0 length=1 close"},
    {"POST / HTTP/1.0|Content-Length: 1|Expect: 200-ok||", "POST / 1.0 length=1 close"},
};

std::string Describe(const RequestHead& head) {
  std::string text = head.method + " " + head.target + (head.version == Version::kHttp11 ? " 1.1 " : " 1.0 ");
  switch (head.framing) {
    case Framing::kNone:
      text += "none";
      break;
    case Framing::kContentLength:
      text += "length=" + std::to_string(head.content_length);
      break;
    case Framing::kChunked:
      text += "chunked";
      break;
    case Framing::kUntilClose:
      text += "until-close";
      break;
  }
  text += head.keep_alive ? " keep" : " close";
  if (head.expect_continue) text += " 100";
  return text;
}

std::string VerdictOf(ParseState state, const HeadParser& parser, const RequestHead& head) {
  if (state == ParseState::kError) return std::string(ErrorName(parser.error().code));
  if (state == ParseState::kNeedMore) return "more";
  return Describe(head);
}

// The verdict after the prefixes of the given sizes and then the whole were offered, each in a buffer of its own so
// that a sanitizer sees reads past its end and into the one before.
std::string HeadVerdict(std::string_view request, const std::vector<size_t>& prefixes, size_t* consumed = nullptr) {
  HeadParser parser;
  RequestHead head;
  for (const size_t size : prefixes) {
    const std::vector<char> seen(request.begin(), request.begin() + static_cast<std::ptrdiff_t>(size));
    const ParseState state = parser.ParseRequest({seen.data(), seen.size()}, &head);
    if (consumed != nullptr) *consumed = parser.consumed();
    if (state != ParseState::kNeedMore) return VerdictOf(state, parser, head);
  }
  const ParseState state = parser.ParseRequest(request, &head);
  if (consumed != nullptr) *consumed = parser.consumed();
  return VerdictOf(state, parser, head);
}

std::string HeadVerdictByteByByte(std::string_view request) {
  std::vector<size_t> prefixes;
  for (size_t size = 0; size < request.size(); ++size) prefixes.push_back(size);
  return HeadVerdict(request, prefixes);
}

TEST(RequestHead, TablesGiveTheSameVerdictForEverySplit) {
  size_t rows = 0;
  const auto check = [&rows](const auto& table) {
    for (const RequestHeadRow& row : table) {
      const std::string request = Bytes(row.request);
      ++rows;
      EXPECT_EQ(HeadVerdict(request, {}), row.verdict) << row.request;
      EXPECT_EQ(HeadVerdictByteByByte(request), row.verdict) << row.request << " byte by byte";
      for (size_t size = 0; size < request.size(); ++size) {
        EXPECT_EQ(HeadVerdict(request, {size}), row.verdict) << row.request << " split at " << size;
      }
    }
  };
  check(kRequestLines);
  check(kTargets);
  check(kHosts);
  check(kFields);
  check(kBodies);
  check(kConnections);
  EXPECT_GE(rows, 150u);
}

TEST(RequestHead, ConsumesTheHeadAndNothingElse) {
  const std::string head = Bytes("|POST /x HTTP/1.1|Host: a|Content-Length: 5||");
  size_t consumed = 0;
  EXPECT_EQ(HeadVerdict(head + "hello", {}, &consumed), "POST /x 1.1 length=5 keep");
  EXPECT_EQ(consumed, head.size());
}

TEST(RequestHead, FieldsKeepOrderCaseRepeatsAndBytes) {
  const std::string request =
      Bytes("GET /p?q HTTP/1.1|Host: a|x-A:  b%2Fc <09>|Set: 1|set: 2|Empty:|Connection: foo, x-a|X: <e9>||");
  HeadParser parser;
  RequestHead head;
  ASSERT_EQ(parser.ParseRequest(request, &head), ParseState::kDone);
  const RequestHead moved = std::move(head);
  ASSERT_EQ(moved.fields.size(), 7u);
  EXPECT_EQ(moved.fields[1].name, "x-A");
  EXPECT_EQ(moved.fields[1].value, "b%2Fc");
  EXPECT_EQ(moved.fields[2].value, "1");
  EXPECT_EQ(moved.fields[3].name, "set");
  EXPECT_EQ(moved.fields[4].value, "");
  EXPECT_EQ(moved.fields[6].value, "\xe9");
  EXPECT_EQ(moved.fields.Find("SET"), "1");
  EXPECT_EQ(moved.fields.Count("SET"), 2u);
  EXPECT_EQ(moved.fields.Find("absent"), std::nullopt);
  EXPECT_TRUE(moved.fields.HasToken("connection", "FOO"));
  EXPECT_FALSE(moved.fields.HasToken("connection", "fo"));
  EXPECT_EQ(moved.path(), "/p");
}

TEST(RequestHead, ViewsOfAShortHeadSurviveAMove) {
  HeadParser parser;
  RequestHead head;
  ASSERT_EQ(parser.ParseRequest("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &head), ParseState::kDone);
  const std::string_view host = *head.fields.Find("Host");
  const RequestHead moved = std::move(head);
  EXPECT_EQ(host, "a");
  EXPECT_EQ(moved.fields.Find("Host")->data(), host.data());
}

TEST(RequestHead, HopByHopFieldsAreTheListedOnesAndWhatConnectionNames) {
  HeadParser parser;
  RequestHead head;
  ASSERT_EQ(parser.ParseRequest(Bytes("GET / HTTP/1.1|Host: a|Connection: x-b, host, content-length|x-b: 1||"), &head),
            ParseState::kDone);
  for (const std::string_view name : {"connection", "KEEP-ALIVE", "Proxy-Connection", "Proxy-Authenticate",
                                      "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "X-B"}) {
    EXPECT_TRUE(IsHopByHop(name, head.fields)) << name;
  }
  for (const std::string_view name : {"Host", "Content-Length", "X-C", "Date"}) {
    EXPECT_FALSE(IsHopByHop(name, head.fields)) << name;
  }
}

std::string HeadOfSize(size_t size) {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  return start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
}

TEST(RequestHead, AHeadOverTheLimitIsTooLarge) {
  EXPECT_EQ(HeadVerdict(HeadOfSize(kHeadBytesMax), {}), kPlain);
  EXPECT_EQ(HeadVerdict(HeadOfSize(kHeadBytesMax), {kHeadBytesMax - 1}), kPlain);
  EXPECT_EQ(HeadVerdict(HeadOfSize(kHeadBytesMax + 1), {}), "head-too-large");
  EXPECT_EQ(HeadVerdict(HeadOfSize(kHeadBytesMax + 1), {kHeadBytesMax}), "head-too-large");
  EXPECT_EQ(HeadVerdict(std::string(kHeadBytesMax - 1, 'x'), {}), "more");
  EXPECT_EQ(HeadVerdict(std::string(kHeadBytesMax, 'x'), {}), "head-too-large");
  // What lies beyond the limit does not count, however it arrives.
  EXPECT_EQ(HeadVerdict(std::string(kHeadBytesMax, 'x') + '\0', {}), "head-too-large");
  EXPECT_EQ(HeadVerdict(std::string(kHeadBytesMax - 1, 'x') + '\0', {}), "bad-request");
}

TEST(RequestHead, MoreFieldsThanTheLimitAreTooLarge) {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(HeadVerdict(start + Repeat("X: y\r\n", kFieldsMax - 1) + "\r\n", {}), kPlain);
  const std::string full = start + Repeat("X: y\r\n", kFieldsMax - 1);
  EXPECT_EQ(HeadVerdict(full + "\r", {}), "more");
  EXPECT_EQ(HeadVerdict(full + "X", {}), "head-too-large");
  EXPECT_EQ(HeadVerdictByteByByte(full + "X: \x01\r\n\r\n"), "head-too-large");
  EXPECT_EQ(HeadVerdict(full + "X: \x01\r\n\r\n", {}), "head-too-large");
}

TEST(RequestHead, AnErrorIsFinalAndSaidInOneSentence) {
  HeadParser parser;
  RequestHead head;
  ASSERT_EQ(parser.ParseRequest("GET / HTTP/1.1\nHost: a\r\n\r\n", &head), ParseState::kError);
  EXPECT_EQ(parser.error().detail, "a line of the head ends with a bare LF");
  EXPECT_EQ(parser.ParseRequest("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &head), ParseState::kError);
}

TEST(RequestHead, RandomBytesNeverCrashAndNeverDependOnTheSplit) {
  std::mt19937 random(20240607);
  const std::vector<std::string> pieces = {"GET ",      "POST ",
                                           "/",         "http://a",
                                           " HTTP/1.1", " HTTP/1.0",
                                           "\r\n",      "Host:",
                                           " a",        "Content-Length: ",
                                           "5",         "Transfer-Encoding: ",
                                           "chunked",   ":",
                                           "\r",        "\n",
                                           " ",         "\t",
                                           "X",         "\x80",
                                           "*",         ",",
                                           "\r\n\r\n",  std::string(1, '\0')};
  for (int round = 0; round < 3000; ++round) {
    std::string request = random() % 2 == 0 ? "GET / HTTP/1.1\r\nHost: a\r\n" : "";
    const size_t count = random() % 30;
    for (size_t i = 0; i < count; ++i) {
      request +=
          random() % 8 == 0 ? std::string(1, static_cast<char>(random() % 256)) : pieces[random() % pieces.size()];
    }
    const std::string whole = HeadVerdict(request, {});
    EXPECT_EQ(HeadVerdictByteByByte(request), whole) << testing::PrintToString(request);
  }
}

}  // namespace
}  // namespace oncegate::http
