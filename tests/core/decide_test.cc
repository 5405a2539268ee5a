#include "core/decide.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace oncegate {
namespace {

// Every row of the contract's decision table (section 3), one request a row, the verdict last.
//   record:      none | expired-<state> | live: in-progress, orphan (in progress, owner gone), orphan-rerun, completed,
//   unknown fingerprint: equal | other | absent-record | absent-request | other-recipe mismatch:    reject | replay
//   unknown:     hold | release
constexpr const char* kTable = R"(
none              equal          reject hold     execute 1
none              other          reject release  execute 1
none              absent-request replay hold     execute 1
expired-completed equal          reject hold     execute 1
expired-completed other          reject hold     execute 1
expired-unknown   equal          reject release  execute 1
expired-unknown   other          reject hold     execute 1

completed         equal          reject hold     replay
completed         equal          replay release  replay
completed         absent-record  reject hold     replay
completed         absent-request reject hold     replay
completed         other-recipe   reject hold     replay
completed         other          replay hold     replay
completed         other          reject hold     key-reused
completed         other          reject release  key-reused

in-progress       equal          reject hold     in-flight
in-progress       equal          reject release  in-flight
in-progress       absent-record  reject hold     in-flight
in-progress       absent-request reject release  in-flight
in-progress       other          replay hold     in-flight
in-progress       other          replay release  in-flight
in-progress       other          reject hold     key-reused
in-progress       other          reject release  key-reused

unknown           equal          reject hold     outcome-unknown
unknown           equal          replay hold     outcome-unknown
unknown           absent-record  reject hold     outcome-unknown
unknown           other          replay hold     outcome-unknown
unknown           other          reject hold     key-reused
unknown           other          reject release  key-reused
unknown           equal          reject release  execute 4
unknown           other          replay release  execute 4

orphan            equal          reject hold     outcome-unknown
orphan            equal          reject release  execute 4
orphan            other          reject hold     key-reused
orphan            other          reject release  key-reused
orphan            other          replay release  execute 4
orphan-rerun      equal          reject hold     execute 4
orphan-rerun      equal          reject release  execute 4
orphan-rerun      other          reject hold     key-reused
)";

constexpr int64_t kNowMs = 1000;

Fingerprint Print(std::string_view body) {
  return MakeFingerprint(FingerprintRecipe::kWholeRequest, {"POST", "/", body});
}

std::string Describe(const Decision& decision) {
  if (const auto* execute = std::get_if<Execute>(&decision)) return "execute " + std::to_string(execute->attempt);
  if (std::holds_alternative<Replay>(decision)) return "replay";
  if (std::holds_alternative<KeyReused>(decision)) return "key-reused";
  if (std::holds_alternative<InFlight>(decision)) return "in-flight";
  return "outcome-unknown";
}

std::optional<RecordFacts> RecordOf(std::string name) {
  if (name == "none") return std::nullopt;
  RecordFacts facts;
  facts.attempt = 3;
  facts.fingerprint = Print("a");
  facts.expires_at_ms = kNowMs + 1;
  if (name.starts_with("expired-")) {
    facts.expires_at_ms = kNowMs;
    name = name.substr(8);
  }
  facts.owner_alive = name == "in-progress";
  facts.rerun = name == "orphan-rerun";
  if (name == "completed") facts.state = RecordState::kCompleted;
  if (name == "unknown") facts.state = RecordState::kUnknown;
  return facts;
}

std::string Verdict(const std::string& record_name, const std::string& fingerprint, const std::string& mismatch,
                    const std::string& unknown) {
  std::optional<RecordFacts> record = RecordOf(record_name);
  RequestFacts request;
  request.fingerprint = Print(fingerprint == "other" ? "b" : "a");
  if (fingerprint == "other-recipe") request.fingerprint->recipe = FingerprintRecipe::kWithoutBody;
  if (fingerprint == "other-recipe") request.fingerprint->digest[0] ^= 1;
  if (fingerprint == "absent-request") request.fingerprint.reset();
  if (fingerprint == "absent-record" && record) record->fingerprint.reset();
  request.on_mismatch = mismatch == "replay" ? MismatchPolicy::kReplay : MismatchPolicy::kReject;
  request.on_unknown = unknown == "release" ? UnknownPolicy::kRelease : UnknownPolicy::kHold;
  return Describe(Decide(record ? &*record : nullptr, request, kNowMs));
}

TEST(Decide, FollowsTheTable) {
  std::istringstream table(kTable);
  int rows = 0;
  for (std::string line; std::getline(table, line);) {
    if (line.empty()) continue;
    std::istringstream row(line);
    std::string record;
    std::string fingerprint;
    std::string mismatch;
    std::string unknown;
    std::string expected;
    row >> record >> fingerprint >> mismatch >> unknown >> std::ws;
    std::getline(row, expected);
    EXPECT_EQ(Verdict(record, fingerprint, mismatch, unknown), expected) << line;
    ++rows;
  }
  EXPECT_EQ(rows, 39);
}

TEST(Decide, ARestoredStoreThatHoldsAnswersOnlyForWhatItKnows) {
  const RequestFacts request{.fingerprint = Print("a")};
  for (const char* name : {"none", "expired-completed", "expired-unknown"}) {
    const std::optional<RecordFacts> record = RecordOf(name);
    EXPECT_EQ(Decide(record ? &*record : nullptr, request, kNowMs, AbsentKeys::kHold), Decision(Held{})) << name;
  }
  const RecordFacts completed = *RecordOf("completed");
  EXPECT_EQ(Decide(&completed, request, kNowMs, AbsentKeys::kHold), Decision(Replay{}));
  const RecordFacts rerun = *RecordOf("orphan-rerun");
  EXPECT_EQ(Decide(&rerun, request, kNowMs, AbsentKeys::kHold), Decision(Execute{rerun.attempt + 1}));
}

Record SidecarClaim(LeaseExpiry on_expiry) {
  Record record;
  record.owner = ClaimOwner::kSidecar;
  record.lease_expires_at_ms = 5000;
  record.on_lease_expiry = on_expiry;
  return record;
}

TEST(FactsOf, AGatewayClaimHasNoOwnerOutsideItsPermit) {
  Record record;
  record.owner = ClaimOwner::kGateway;
  EXPECT_FALSE(FactsOf(record, 0).owner_alive);
}

TEST(FactsOf, ASidecarClaimLivesByItsLease) {
  EXPECT_TRUE(FactsOf(SidecarClaim(LeaseExpiry::kHold), 4999).owner_alive);
  EXPECT_FALSE(FactsOf(SidecarClaim(LeaseExpiry::kHold), 5000).owner_alive);
  EXPECT_FALSE(FactsOf(SidecarClaim(LeaseExpiry::kHold), 5000).rerun);
  EXPECT_FALSE(FactsOf(SidecarClaim(LeaseExpiry::kRerun), 4999).rerun);
  EXPECT_TRUE(FactsOf(SidecarClaim(LeaseExpiry::kRerun), 5000).rerun);
}

TEST(FactsOf, ASettledClaimIsNotAliveAndOnlyAnEndedLeaseIsToBeRerun) {
  Record record = SidecarClaim(LeaseExpiry::kRerun);
  for (const RecordState state : {RecordState::kCompleted, RecordState::kUnknown}) {
    record.state = state;
    EXPECT_FALSE(FactsOf(record, 0).owner_alive) << RecordStateName(state);
  }
  record.state = RecordState::kCompleted;
  EXPECT_FALSE(FactsOf(record, 9999).rerun);
  // A lease that ended is written down as unknown when somebody looks; that changes nothing for whoever claims.
  record.state = RecordState::kUnknown;
  EXPECT_TRUE(FactsOf(record, 9999).rerun);
}

}  // namespace
}  // namespace oncegate
