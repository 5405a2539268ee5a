#include "gateway/route_table.h"

#include <gtest/gtest.h>

#include "tests/gateway/gateway_fixture.h"

namespace oncegate {
namespace {

using RoutePtr = RouteTable::RoutePtr;

// A route named as its prefix is written.
RoutePtr RouteAt(const std::string& prefix, Route route = {}) {
  route.name = prefix;
  route.prefix = *ParseRoutePrefix(prefix);
  if (route.scope == "default") route.scope = "s" + std::to_string(std::hash<std::string>()(prefix));
  return std::make_shared<const Route>(std::move(route));
}

RouteTable TableOf(std::vector<RoutePtr> routes) {
  Result<RouteTable> table = RouteTable::OfSeveral(std::move(routes));
  EXPECT_TRUE(table.ok()) << table.status().message();
  return *std::move(table);
}

TEST(RouteTableTest, TheLongestPrefixOfWholeSegmentsWins) {
  const RouteTable table =
      TableOf({RouteAt("/a"), RouteAt("/a/b"), RouteAt("/a/b/c/"), RouteAt("/orders"), RouteAt("/x%20y")});
  struct Row {
    std::string target;
    std::string route;
  };
  const Row rows[] = {
      // path and the route that it takes; empty: none
      {"/a", "/a"},
      {"/a/", "/a"},
      {"/a?b=/a/b", "/a"},
      {"/a/b", "/a/b"},
      {"/a/bc", "/a"},
      {"/a/b/x", "/a/b"},
      {"/a/b/c", "/a/b/c/"},
      {"/a/b/c/", "/a/b/c/"},
      {"/a/b/c/d?x", "/a/b/c/"},
      {"/ab", ""},
      {"/", ""},
      {"/A", ""},
      {"*", ""},
      {"/orders2", ""},
      {"/order", ""},
      {"/orders/1", "/orders"},
      // An application reads these as "/orders" and "/a/b/c": they must not pass another route's policies.
      {"/%6frders/1", "/orders"},
      {"/%6Frder%73", "/orders"},
      {"/a/%62/%63/x", "/a/b/c/"},
      {"/%2561", ""},
      {"/orders%zz", ""},
      {"/orders%3fx", ""},
      {"/orders%", ""},
      {"/x%20y/1", "/x%20y"},
      {"/x y", "/x%20y"},
      {"/" + std::string(9000, '%'), ""},
      {"/orders/" + std::string(9000, 'x') + "%41", "/orders"},
  };
  for (const Row& row : rows) {
    const RoutePtr& found = table.Find(row.target);
    EXPECT_EQ(found->name, row.route) << row.target.substr(0, 40);
    EXPECT_EQ(found == table.nowhere(), row.route.empty()) << row.target.substr(0, 40);
  }
}

TEST(RouteTableTest, TheRootTakesTheRestAndAnOnlyRouteTakesEverything) {
  const RouteTable table = TableOf({RouteAt("/"), RouteAt("/a")});
  for (const char* target : {"/", "/ab", "/b/a", "*", "/?/a"}) EXPECT_EQ(table.Find(target)->name, "/") << target;
  EXPECT_EQ(table.Find("/a/x")->name, "/a");
  EXPECT_TRUE(table.by_path());

  const RouteTable one(std::make_shared<const Route>());
  EXPECT_FALSE(one.by_path());
  for (const char* target : {"/", "*", "//a", "/..%2f"}) EXPECT_EQ(one.Find(target)->scope, "default") << target;
}

TEST(RouteTableTest, LongPrefixesAreFoundToTheirLastByte) {
  const std::string longest = "/" + std::string(kRoutePrefixBytesMax - 1, 'x');
  const RouteTable table = TableOf({RouteAt(longest), RouteAt("/y")});
  std::string encoded = "/";
  for (size_t i = 1; i < longest.size(); ++i) encoded += "%78";
  for (const std::string& path : {longest, encoded}) {
    EXPECT_EQ(table.Find(path)->name, longest);
    EXPECT_EQ(table.Find(path + "/y")->name, longest);
    EXPECT_EQ(table.Find(path + "x")->name, "");
    EXPECT_EQ(table.Find(path + "%78")->name, "");
  }
  EXPECT_FALSE(ParseRoutePrefix(longest + "x").ok());
}

TEST(RouteTableTest, ARecordBelongsToTheRouteThatItCameBy) {
  const RouteTable table = TableOf({RouteAt("/a", {.scope = "one"}), RouteAt("/b", {.scope = "two"}),
                                    RouteAt("/c", {.scope = "both", .shared_scope = true}),
                                    RouteAt("/d", {.scope = "both", .shared_scope = true})});
  struct Row {
    std::string scope;
    std::string target;
    std::string route;
  };
  const Row rows[] = {
      {"one", "/a/1", "/a"},  {"one", "/moved/1", "/a"},  // its scope is nobody else's
      {"one", "/b/1", "/a"},  {JoinedScope("two", "a client"), "/b", "/b"},
      {"both", "/c", "/c"},   {"both", "/d/1", "/d"},
      {"both", "/moved", ""},  // one of two
      {"three", "/a/1", ""},   // the path's application now is another scope's
  };
  for (const Row& row : rows) {
    const RoutePtr found = table.FindFor(ScopedKey(row.scope, "k"), row.target);
    EXPECT_EQ(found == nullptr ? "" : found->name, row.route) << row.scope << " " << row.target;
  }
  EXPECT_EQ(RouteTable(RouteAt("/")).FindFor(ScopedKey("three", "k"), "/x")->name, "/");
}

TEST(RouteTableTest, RoutesThatCannotBeToldApartAreRefused) {
  const auto error = [](std::vector<RoutePtr> routes) {
    return RouteTable::OfSeveral(std::move(routes)).status().message();
  };
  EXPECT_EQ(error({}), "there is no route");
  EXPECT_EQ(error({RouteAt("/a"), RouteAt("/a")}), "two routes are named '/a'");
  EXPECT_EQ(error({RouteAt("/a"), RouteAt("/%61")}), "routes '/a' and '/%61' have the same prefix /a");
  EXPECT_EQ(error({RouteAt("/a", {.scope = "s"}), RouteAt("/b", {.scope = "s", .shared_scope = true})}),
            R"(routes '/a' and '/b' have the same scope 's'; if that is meant, give both "shared_scope": true)");
  std::vector<RoutePtr> many;
  for (size_t i = 0; i <= RouteTable::kRoutesMax; ++i) many.push_back(RouteAt("/r" + std::to_string(i)));
  EXPECT_EQ(error(many), "more than 256 routes");
  many.pop_back();
  EXPECT_EQ(error(many), "");
}

TEST(RouteTableTest, PrefixesAreChecked) {
  for (const char* bad :
       {"", "a", "a/b", "/a b", "/a?b", "/a#b", "/\x80", "//", "/a//b", "/.", "/a/../b", "/a%2fb", "/a\\b", "/%2e%2e"})
    EXPECT_FALSE(ParseRoutePrefix(bad).ok()) << bad;
  EXPECT_EQ(*ParseRoutePrefix("/"), "");
  EXPECT_EQ(*ParseRoutePrefix("/a/"), "/a");
  EXPECT_EQ(*ParseRoutePrefix("/a%41"), "/aA");
}

TEST(RouteTableTest, APathIsPlainIfThereIsOneWayToReadIt) {
  for (const char* plain :
       {"/", "*", "/a", "/a/", "/a.b", "/.a", "/a..", "/...", "/a%20b", "/a?//../%2e", "/a;b", "/%", "/%2", "/a%252e"})
    EXPECT_TRUE(IsPlainPath(plain)) << plain;
  for (const char* other : {"//", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/a\\b", "/%2e%2E/a", "/a%2Fb",
                            "/a%5cb", "/..;x=1/a", "/a/.;/b"})
    EXPECT_FALSE(IsPlainPath(other)) << other;
}

// Two applications, each behind a route of its own.
class RoutedGatewayTest : public GatewayTest {
 protected:
  RoutedGatewayTest() { other_->Answer(201, "ticket-1"); }

  static Route Named(const std::string& name, std::shared_ptr<Upstream> upstream = nullptr) {
    Route route;
    route.name = route.scope = name;
    route.prefix = "/" + name;
    route.upstream = std::move(upstream);
    return route;
  }
  void StartWith(const std::vector<Route>& routes) {
    Start();
    SetRoutes(routes);
  }
  void SetRoutes(const std::vector<Route>& routes) {
    std::vector<RoutePtr> shared;
    for (const Route& route : routes) shared.push_back(std::make_shared<const Route>(route));
    gateway_->SetRoutes(TableOf(std::move(shared)));
  }
  Call PostTo(const std::string& target, const std::string& key, const std::string& fields = {}) {
    return Send("POST", "Idempotency-Key: " + key + "\r\n" + fields, "{}", target);
  }

  std::shared_ptr<ScriptedUpstream> other_ = std::make_shared<ScriptedUpstream>();
};

TEST_F(RoutedGatewayTest, EachPathHasItsApplicationItsScopeAndItsPolicies) {
  Route tickets = Named("tickets", other_);
  tickets.upstream_prefix = "/v2";
  tickets.on_missing_key = MissingKeyPolicy::kReject;
  StartWith({Named("orders"), tickets});
  EXPECT_EQ(Verdict(PostTo("/orders/1", "k").Get()), "200 executed");
  EXPECT_EQ(Verdict(PostTo("/tickets/1", "k").Get()), "201 executed") << "the same key in another scope";
  EXPECT_EQ(Verdict(PostTo("/orders/1", "k").Get()), "200 replayed");
  EXPECT_EQ(Verdict(PostTo("/tickets/1", "k").Get()), "201 replayed");
  EXPECT_EQ(Verdict(Send("POST", "", "{}", "/orders").Get()), "200 unkeyed");
  EXPECT_EQ(Verdict(Send("POST", "", "{}", "/tickets").Get()), "400 missing-key");
  EXPECT_EQ(upstream_.executions(), 2U);
  ASSERT_EQ(other_->executions(), 1U);
  EXPECT_EQ(other_->heads()[0].rfind("POST /v2/tickets/1 HTTP/1.1\r\n", 0), 0U) << other_->heads()[0];
}

TEST_F(RoutedGatewayTest, WhereNoRouteLeadsNothingHappens) {
  StartWith({Named("orders"), Named("tickets", other_)});
  for (const char* target : {"/", "/order", "/orders2", "/Orders"})
    EXPECT_EQ(Verdict(PostTo(target, "k").Get()), "404 not-found") << target;
  EXPECT_EQ(Verdict(Send("GET", "", "", "/elsewhere").Get()), "404 not-found");
  for (const char* target : {"/orders/../tickets", "//orders", "/tickets/%2e%2e/orders", "/orders%2f..", "/a\\b"})
    EXPECT_EQ(Verdict(PostTo(target, "k").Get()), "400 bad-request") << target;
  EXPECT_EQ(upstream_.executions() + other_->executions(), 0U);
  EXPECT_EQ(store_.claims, 0);
}

TEST_F(RoutedGatewayTest, OnlyDeliveriesAreWorthConnectingAgainFor) {
  Route orders = Named("orders", other_);
  orders.connect_retry_ms = 7000;
  std::vector<int64_t> seen;
  other_->SetScript([&seen](const OutboundRequest& request, ResponseReceiver& receiver) {
    seen.push_back(request.connect_retry_ms);
    return ScriptedUpstream::Respond(receiver, 200, "Content-Length: 0\r\n", {});
  });
  StartWith({orders});
  EXPECT_EQ(Verdict(PostTo("/orders", "k").Get()), "200 executed");
  EXPECT_EQ(Verdict(Send("POST", "", "{}", "/orders").Get()), "200 unkeyed");
  EXPECT_EQ(Verdict(Send("GET", "", "", "/orders").Get()), "200 passed");
  EXPECT_EQ(seen, (std::vector<int64_t>{7000, 7000, 0}));
}

TEST_F(RoutedGatewayTest, ARequestKeepsTheRouteThatItTook) {
  StartWith({Named("orders"), Named("tickets", other_)});
  Call held = PostTo("/tickets/1", "k", "X-Hold: yes\r\n");
  other_->AwaitRequests(1);
  SetRoutes({Named("orders")});
  EXPECT_EQ(Verdict(PostTo("/tickets/1", "k").Get()), "404 not-found");
  other_->OpenGate();
  EXPECT_EQ(Verdict(held.Get()), "201 executed");
  const auto record = store_.Get(ScopedKey("tickets", "k"), RecordParts::kAll);
  ASSERT_TRUE(record.ok() && record->has_value());
  EXPECT_EQ((*record)->state, RecordState::kCompleted);
}

TEST_F(RoutedGatewayTest, ARedeliveryGoesToTheApplicationThatTheRecordIsOf) {
  StartWith({Named("orders"), Named("tickets", other_)});
  other_->Fail(ForwardEnd::kTimedOut);
  EXPECT_EQ(Verdict(PostTo("/tickets/1", "k").Get()), "504 upstream-timeout");
  other_->Answer(201, "ticket-1");
  const ScopedKey key("tickets", "k");
  AwaitEnd(key);
  SetRoutes({Named("orders")});
  const auto nowhere = gateway_->Redeliver(key, false, "ada");
  ASSERT_TRUE(nowhere.ok());
  EXPECT_EQ(std::get<Intervention>(*nowhere), Intervention::kNotRedeliverable);
  SetRoutes({Named("orders"), Named("tickets", other_)});
  const auto sent = gateway_->Redeliver(key, false, "ada");
  ASSERT_TRUE(sent.ok());
  EXPECT_EQ(std::get<Reply>(*sent).status, 201);
  EXPECT_EQ(other_->executions(), 2U);
  EXPECT_EQ(upstream_.executions(), 0U);
}

}  // namespace
}  // namespace oncegate
