#pragma once

#include <memory>
#include <string>

#include "tests/upstream/scripted_server.h"

namespace oncegate {

// A certificate authority of the test's own, made when it is asked for, with its certificate in a file that goes with
// the object.
class TestAuthority {
 public:
  TestAuthority();
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  [[nodiscard]] const std::string& ca_file() const { return ca_file_; }

  // Writes a certificate for that name and its key to these files. `common_name` tells it from others.
  void WriteServerFiles(const std::string& subject_alt_name, const std::string& common_name,
                        const std::string& certificate_file, const std::string& key_file) const;

  // Wraps accepted connections in TLS, with a certificate for that name ("DNS:localhost", "IP:127.0.0.1").
  [[nodiscard]] ScriptedServer::Wrap ServerFor(const std::string& subject_alt_name) const;

 private:
  struct Keys;
  std::shared_ptr<Keys> keys_;
  std::string ca_file_;
};

}  // namespace oncegate
