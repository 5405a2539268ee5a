#include "bench/scale/corpus.h"

#include <array>
#include <string_view>

namespace oncegate::scale {
namespace {

constexpr int64_t kDayMs = 24LL * 3'600'000;

constexpr std::array<std::string_view, 16> kFirstNames = {"Anna",  "Bruno", "Chiara", "David", "Elif",  "Farid",
                                                          "Greta", "Hana",  "Ivan",   "Julia", "Kwame", "Lena",
                                                          "Mateo", "Nadia", "Oskar",  "Priya"};
constexpr std::array<std::string_view, 16> kLastNames = {
    "Almeida", "Bauer",  "Costa",    "Dubois", "Eriksen", "Fischer", "Garcia", "Huber",
    "Ivanova", "Jansen", "Kowalski", "Larsen", "Moreau",  "Nguyen",  "Okafor", "Petrov"};
constexpr std::array<std::string_view, 16> kWords = {"leather", "desk",   "lamp",   "cotton",  "shirt", "ceramic",
                                                     "mug",     "walnut", "frame",  "canvas",  "bag",   "steel",
                                                     "bottle",  "linen",  "pillow", "notebook"};
constexpr std::array<std::string_view, 8> kCities = {"Berlin", "Lisbon", "Oslo",   "Porto",
                                                     "Turin",  "Vienna", "Warsaw", "Zagreb"};
constexpr std::array<std::string_view, 4> kCurrencies = {"EUR", "USD", "GBP", "SEK"};

struct Kind {
  std::string_view type;
  int64_t ttl_ms;
};
// As often as they stand here.
constexpr std::array<Kind, 16> kKinds = {{{"order.created", kDayMs},
                                          {"order.created", kDayMs},
                                          {"order.created", kDayMs},
                                          {"order.created", kDayMs},
                                          {"order.updated", kDayMs},
                                          {"order.updated", kDayMs},
                                          {"order.updated", kDayMs},
                                          {"payment.succeeded", 2 * kDayMs},
                                          {"payment.succeeded", 2 * kDayMs},
                                          {"payment.succeeded", 2 * kDayMs},
                                          {"payment.failed", 2 * kDayMs},
                                          {"refund.created", 2 * kDayMs},
                                          {"customer.updated", kDayMs},
                                          {"customer.updated", kDayMs},
                                          {"shipment.sent", kDayMs},
                                          {"invoice.paid", kTtlMsMax}}};

// SplitMix64: quick to seed, which is done for every delivery.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 0x1234567) {}

  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  template <typename List>
  auto Of(const List& list) {
    return list[Below(list.size())];
  }
  std::string Text(std::string_view alphabet, size_t length) {
    std::string text(length, '\0');
    for (char& c : text) c = alphabet[Below(alphabet.size())];
    return text;
  }
  std::string Id(size_t length) {
    return Text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", length);
  }
  std::string Hex(size_t length) { return Text("0123456789abcdef", length); }
  std::string Number(uint64_t bound) { return std::to_string(Below(bound)); }

 private:
  uint64_t state_;
};

std::string KeyOf(Random* random) {
  switch (random->Below(3)) {
    case 0:
      return "evt_1" + random->Id(27);
    case 1:
      return random->Hex(8) + "-" + random->Hex(4) + "-4" + random->Hex(3) + "-a" + random->Hex(3) + "-" +
             random->Hex(12);
    default:
      return "shop-" + random->Number(900) + ":order-" + std::to_string(1'000'000'000 + random->Below(1'000'000'000)) +
             ":" + random->Hex(24);
  }
}

std::string Time(Random* random) {
  std::string time = "2026-11-23T";
  for (const uint64_t bound : {24, 60, 60}) {
    const std::string digits = random->Number(bound);
    time += (digits.size() == 1 ? "0" : "") + digits + ":";
  }
  time.back() = 'Z';
  return time;
}

std::string Item(Random* random) {
  return R"({"sku":"SKU-)" + random->Number(99'999) + R"(","name":")" + std::string(random->Of(kWords)) + " " +
         std::string(random->Of(kWords)) + R"(","quantity":)" + random->Number(5) + R"(,"price":)" +
         random->Number(20'000) + "}";
}

}  // namespace

std::string Delivery::Request() const {
  return std::string("POST ") + kTarget + " HTTP/1.1\r\n" + request_fields + "\r\n" + request_body;
}

Delivery DeliveryOf(uint64_t number) {
  Random random(number);
  Delivery delivery;
  const Kind& kind = kKinds[random.Below(kKinds.size())];
  delivery.key = KeyOf(&random);
  delivery.type = kind.type;
  delivery.ttl_ms = kind.ttl_ms;
  const std::string order = "ord_" + random.Id(16);
  const std::string customer = R"({"id":"cus_)" + random.Id(14) + R"(","name":")" +
                               std::string(random.Of(kFirstNames)) + " " + std::string(random.Of(kLastNames)) +
                               R"(","email":"u)" + random.Number(9'999'999) + R"(@example.com"})";
  const std::string amount = random.Number(500'000);
  const std::string currency(random.Of(kCurrencies));
  const std::string items = Item(&random) + "," + Item(&random);
  const std::string created = Time(&random);
  delivery.request_body = R"({"id":"evt_)" + random.Id(24) + R"(","type":")" + delivery.type + R"(","created":")" +
                          created + R"(","data":{"order":")" + order + R"(","amount":)" + amount + R"(,"currency":")" +
                          currency + R"(","customer":)" + customer + R"(,"items":[)" + items + "]}}";
  delivery.response_body = R"({"id":")" + order + R"(","object":"order","status":"confirmed","created":")" + created +
                           R"(","amount":)" + amount + R"(,"currency":")" + currency + R"(","customer":)" + customer +
                           R"(,"items":[)" + items + R"(],"shipping":{"street":")" +
                           std::string(random.Of(kLastNames)) + " street " + random.Number(300) + R"(","city":")" +
                           std::string(random.Of(kCities)) + R"(","zip":")" + random.Number(99'999) +
                           R"("},"links":{"self":"https://api.example.com/v1/orders/)" + order +
                           R"("},"request_id":"req_)" + random.Hex(32) + R"(","livemode":true})";
  delivery.request_fields =
      "Host: hooks.example.com\r\nContent-Type: application/json\r\nUser-Agent: Shop/2.1\r\n"
      "Idempotency-Key: " +
      delivery.key + "\r\nContent-Length: " + std::to_string(delivery.request_body.size()) + "\r\n";
  delivery.response_head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                           std::to_string(delivery.response_body.size()) + "\r\n";
  return delivery;
}

}  // namespace oncegate::scale
