#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "tests/support/raw_client.h"
#include "tests/upstream/test_certificates.h"

namespace oncegate {

// The client's side of TLS for a RawClient: trusts one CA file, and remembers the last session that a server gave.
class TlsClient {
 public:
  struct Options {
    std::string server_name = "localhost";
    std::string alpn;          // "h2", say; empty: none is offered
    int version_max = 0;       // 0: whatever the library has; else 0x0302 and the like
    bool resume = false;       // offer the last session again
    std::string* certificate;  // takes the subject's name of the server's certificate, if not null
    bool* resumed = nullptr;   // takes whether the session was resumed
    std::string* chosen_alpn = nullptr;

    Options() : certificate(nullptr) {}
  };

  explicit TlsClient(const std::string& ca_file);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // Shakes hands on a connected socket. Null from it: the handshake failed.
  [[nodiscard]] RawClient::Wrap With(Options options = Options()) const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

// A server's certificate and key in files, signed by the test's own authority, and a client that trusts it. The files
// go with the object.
class TestCertificates {
 public:
  TestCertificates();
  ~TestCertificates();
  TestCertificates(const TestCertificates&) = delete;
  TestCertificates& operator=(const TestCertificates&) = delete;

  [[nodiscard]] std::string certificate_file() const { return directory_ + "/cert.pem"; }
  [[nodiscard]] std::string key_file() const { return directory_ + "/key.pem"; }
  [[nodiscard]] const std::string& ca_file() const { return authority_.ca_file(); }
  [[nodiscard]] const TlsClient& client() const { return client_; }

  // Writes a new certificate for localhost, whose subject is called that.
  void Renew(const std::string& common_name) const;

 private:
  TestAuthority authority_;
  TlsClient client_;
  std::string directory_ = std::string(P_tmpdir) + "/oncegate-tls-XXXXXX";
};

}  // namespace oncegate
