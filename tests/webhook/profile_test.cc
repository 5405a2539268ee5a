#include "webhook/profile.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "webhook/builtin_profiles.h"
#include "webhook/identity.h"

namespace oncegate {
namespace {

TEST(Profile, AllBuiltinOnesFollowTheSchema) {
  for (const EmbeddedFile& file : BuiltinProfileFiles()) {
    const Result<Profile> profile = ParseProfile(file.text);
    EXPECT_TRUE(profile.ok()) << file.name << ": " << profile.status().message();
  }
  EXPECT_GE(BuiltinProfiles().size(), 30U);
  std::set<std::string> names;
  for (const Profile& profile : BuiltinProfiles()) EXPECT_TRUE(names.insert(profile.name).second) << profile.name;
}

std::string KeyIn(const Profile& profile, std::string_view body, const std::vector<HeaderLine>& headers = {}) {
  const WebhookRequest request{"POST", "/webhook", "https://hooks.example.com/webhook", headers, body};
  RequestReader reader(request, profile.paths);
  const Result<std::string> key = WebhookKey(profile, reader);
  return key.ok() ? *key : "error: " + key.status().message();
}

struct KeyRow {
  const char* provider;
  std::vector<HeaderLine> headers;
  const char* body;
  const char* key;
};

TEST(WebhookKey, IsMadeOfWhatStaysTheSameAndTellsEventsApart) {
  const std::vector<KeyRow> rows{
      {"whatsapp_meta",
       {},
       R"({"entry":[{"changes":[{"value":{"messages":[{"id":"wamid.A"},{"id":"wamid.B"}]}}]}]})",
       "wamid.A:wamid.B"},
      // One message id is reused for all its statuses.
      {"whatsapp_meta",
       {},
       R"({"entry":[{"changes":[{"value":{"statuses":[{"id":"wamid.A","status":"sent"}]}}]}]})",
       "wamid.A:sent"},
      {"whatsapp_meta",
       {},
       R"({"entry":[{"changes":[{"value":{"statuses":[{"id":"wamid.A","status":"read"}]}}]}]})",
       "wamid.A:read"},
      // A message taken back is another event than the message.
      {"whatsapp_meta", {}, R"({"entry":[{"messaging":[{"message":{"mid":"m1"}}]}]})", "m1"},
      {"whatsapp_meta", {}, R"({"entry":[{"messaging":[{"message":{"mid":"m1","is_deleted":true}}]}]})", "m1:true"},
      // Two people can leave a meeting in the same millisecond.
      {"zoom",
       {},
       R"({"event":"meeting.participant_left","event_ts":7,"payload":{"object":{"uuid":"u","participant":{"user_id":"1"}}}})",
       "meeting.participant_left:7:u:1"},
      {"zoom", {}, R"({"event":"meeting.ended","event_ts":7,"payload":{"object":{"uuid":"u"}}})", "meeting.ended:7:u"},
      {"docusign",
       {},
       R"({"event":"recipient-sent","data":{"envelopeId":"e","recipientId":"2"},"generatedDateTime":"d"})",
       "recipient-sent:e:2:d"},
      {"hubspot", {}, R"([{"eventId":1,"subscriptionId":2,"objectId":3,"occurredAt":4,"attemptNumber":9}])", "1:2:3:4"},
      {"line", {}, R"({"events":[]})", ""},
      {"line", {}, R"({"events":[{"webhookEventId":"01A"},{"webhookEventId":"01B"}]})", "01A:01B"},
      // An element without an id: nothing may be taken for a duplicate.
      {"line", {}, R"({"events":[{"webhookEventId":"01A"},{}]})", ""},
      {"quickbooks",
       {},
       R"({"eventNotifications":[{"realmId":"1","dataChangeEvent":{"entities":[{"name":"C","id":"7","operation":"U","lastUpdated":"x"}]}}]})",
       "1:C:7:U:x"},
      {"quickbooks", {}, R"([{"source":"a","id":"b"}])", "a:b"},
      {"cloudevents", {{"ce-source", "/a%20b"}, {"ce-id", "1"}}, "{}", "sha256:"},
      {"cloudevents", {{"ce-source", "/a"}, {"ce-id", "1"}}, "{}", "/a:1"},
      {"cloudevents", {}, R"({"source":"/a","id":"1"})", "/a:1"},
      {"slack", {}, "command=%2Fx&trigger_id=13345224609.738474920", "13345224609.738474920"},
      {"slack", {}, "payload=%7B%22trigger_id%22%3A%2212.9%22%7D", "12.9"},
      {"twilio", {}, "MessageSid=SM1&MessageStatus=sent", "SM1:sent"},
      {"twilio", {{"I-Twilio-Idempotency-Token", "t"}}, "MessageSid=SM1&MessageStatus=sent", "t"},
      // Many requests of one call say "in-progress".
      {"twilio", {}, "CallSid=CA1&CallStatus=in-progress&Digits=1", ""},
      {"twilio", {}, "CallSid=CA1&CallStatus=completed", "CA1:completed"},
      {"mollie", {}, "id=tr_1", ""},
      {"gitlab", {{"X-Gitlab-Webhook-UUID", "new-each-time"}, {"Idempotency-Key", "k"}}, "{}", "k"},
      {"github",
       {{"X-GitHub-Delivery", "a"}, {"x-github-delivery", "b"}},
       "{}",
       "error: the header X-GitHub-Delivery is repeated"},
      // With the other header names present, an unsigned id must not take the place of the signed one.
      {"svix", {{"webhook-signature", "v1,x"}, {"webhook-id", "signed"}, {"svix-id", "unsigned"}}, "{}", "signed"},
  };
  for (const KeyRow& row : rows) {
    const Profile* const profile = FindProfile(row.provider);
    ASSERT_NE(profile, nullptr) << row.provider;
    const std::string key = KeyIn(*profile, row.body, row.headers);
    if (std::string_view(row.key) == "sha256:") {
      EXPECT_EQ(key.substr(0, 7), row.key) << row.body;
    } else {
      EXPECT_EQ(key, row.key) << row.provider << " " << row.body;
    }
  }
}

TEST(Handshakes, AreToldFromDeliveries) {
  struct Row {
    const char* provider;
    std::vector<HeaderLine> headers;
    const char* body;
    bool handshake;
  };
  const std::vector<Row> rows{
      {"xero", {}, R"({"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S"})", true},
      {"xero", {}, R"({"events":[{"eventType":"UPDATE"}],"firstEventSequence":0,"lastEventSequence":0})", false},
      {"xero", {}, R"({"events":[],"firstEventSequence":0,"lastEventSequence":1})", false},
      {"line", {}, R"({"destination":"U1","events":[]})", true},
      {"line", {}, R"({"destination":"U1","events":[{"type":"message"}]})", false},
      {"mollie", {}, "id=tr_1", true},
      // Signed, and wrongly so: then the signature counts.
      {"mollie", {{"X-Mollie-Signature", "sha256=00"}}, "id=tr_1", false},
      {"woocommerce", {}, "webhook_id=1", true},
      {"woocommerce", {{"X-WC-Webhook-Signature", "x"}}, "webhook_id=1", false},
  };
  for (const Row& row : rows) {
    const Profile& profile = *FindProfile(row.provider);
    const WebhookRequest request{"POST", "/", "", row.headers, row.body};
    RequestReader reader(request, profile.paths);
    EXPECT_EQ(FindHandshake(profile, reader) != nullptr, row.handshake) << row.provider << " " << row.body;
  }
}

TEST(Profile, ErrorsNameTheMember) {
  const std::string good = FindProfile("stripe")->json;
  const std::vector<std::pair<std::string, std::string>> breaks{
      {"\"title\"", "\"titel\""},    {"json:/id", "json:id"},  {"hmac-sha256", "hmac-md5"},
      {"{ts}.{body}", "{ts.{body}"}, {"\"96h\"", "\"1h\""},    {"\"name\": \"stripe\"", "\"name\": \"\""},
      {"\"key\": [\"utf8\"],", ""},  {"{ts}.{body}", "[{ts}"}, {"\"success\": \"2xx\",", ""},
  };
  for (const auto& [from, to] : breaks) {
    std::string text = good;
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    const Result<Profile> profile = ParseProfile(text);
    EXPECT_FALSE(profile.ok()) << from << " -> " << to;
    EXPECT_NE(profile.status().message().find('\''), std::string::npos) << profile.status().message();
  }
}

}  // namespace
}  // namespace oncegate
