#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "ingress/ingress.h"
#include "tests/gateway/gateway_fixture.h"
#include "tests/support/raw_client.h"
#include "tests/support/tls_client.h"
#include "tls/server_context.h"

namespace oncegate {

enum class Transport { kPlain, kTls };

// A gateway behind real sockets, with a fake store and a scripted application.
class IngressFixture : public GatewayTest {
 protected:
  ~IngressFixture() override {
    if (!ingress_) return;
    ingress_->StopAccepting();
    gateway_->ShutDown();
    ingress_->Stop(1000);
  }

  void Listen(IngressOptions options = {}, const Route& route = {}) {
    Start(route);
    options.listen = {{"127.0.0.1", 0}};
    auto ingress = StartIngress(options, {*gateway_, memory_, *ingress_clock_, logger_});
    ASSERT_TRUE(ingress.ok()) << ingress.status().message();
    ingress_ = std::move(*ingress);
    port_ = RawClient::PortOf(ingress_->addresses().at(0));
  }
  void ListenWithTls(IngressOptions options = {}, const Route& route = {}) {
    certificates_ = std::make_unique<TestCertificates>();
    options.tls = LoadTls();
    ASSERT_NE(options.tls, nullptr);
    Listen(options, route);
    wrap_ = certificates_->client().With();
  }
  [[nodiscard]] std::shared_ptr<const tls::ServerContext> LoadTls() const {
    auto loaded = tls::ServerContext::Load(certificates_->certificate_file(), certificates_->key_file());
    return loaded.ok() ? *loaded : nullptr;
  }
  [[nodiscard]] RawClient Connect() const { return RawClient(port_, wrap_); }
  RawAnswer Ask(const std::string& request) {
    RawClient client = Connect();
    client.Send(request);
    return client.Receive();
  }
  static std::string PostOf(const std::string& key, const std::string& body = "{}", const std::string& fields = {}) {
    return "POST /webhook HTTP/1.1\r\nHost: app\r\nIdempotency-Key: " + key + "\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  ManualClock time_{1'795'469'039'123};
  const Clock* ingress_clock_ = &clock_;  // or &time_
  std::unique_ptr<TestCertificates> certificates_;
  RawClient::Wrap wrap_;
  std::unique_ptr<Ingress> ingress_;
  uint16_t port_ = 0;
};

class IngressTest : public IngressFixture, public testing::WithParamInterface<Transport> {
 protected:
  void Listen(const IngressOptions& options = {}, const Route& route = {}) {
    if (GetParam() == Transport::kTls) {
      ListenWithTls(options, route);
    } else {
      IngressFixture::Listen(options, route);
    }
  }
};

}  // namespace oncegate
