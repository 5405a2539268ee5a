#include "tls/server_context.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "tests/upstream/test_certificates.h"

namespace oncegate::tls {
namespace {

class ServerContextTest : public testing::Test {
 protected:
  ServerContextTest() {
    if (mkdtemp(directory_.data()) == nullptr) std::abort();
    authority_.WriteServerFiles("DNS:localhost", "first", File("a.pem"), File("a.key"));
    authority_.WriteServerFiles("DNS:localhost", "second", File("b.pem"), File("b.key"));
  }
  ~ServerContextTest() override {
    for (const char* name : {"a.pem", "a.key", "b.pem", "b.key", "locked.key", "rsa.key"}) unlink(File(name).c_str());
    rmdir(directory_.c_str());
  }
  [[nodiscard]] std::string File(const std::string& name) const { return directory_ + "/" + name; }

  void WriteKey(const std::string& name, EVP_PKEY* key, const std::string& passphrase) const {
    std::FILE* file = std::fopen(File(name).c_str(), "w");
    ASSERT_NE(file, nullptr);
    const EVP_CIPHER* cipher = passphrase.empty() ? nullptr : EVP_aes_128_cbc();
    EXPECT_EQ(PEM_write_PrivateKey(file, key, cipher, reinterpret_cast<const unsigned char*>(passphrase.data()),
                                   static_cast<int>(passphrase.size()), nullptr, nullptr),
              1);
    std::fclose(file);
    EVP_PKEY_free(key);
  }
  [[nodiscard]] std::string Refusal(const std::string& certificate, const std::string& key) const {
    const auto loaded = ServerContext::Load(File(certificate), File(key));
    std::string message = loaded.status().message();
    for (size_t at = 0; (at = message.find(directory_ + "/")) != std::string::npos;)
      message.erase(at, directory_.size() + 1);
    return message;
  }

  TestAuthority authority_;
  std::string directory_ = std::string(P_tmpdir) + "/oncegate-tls-XXXXXX";
};

TEST_F(ServerContextTest, SaysWhichFileIsWrongAndHow) {
  WriteKey("locked.key", EVP_EC_gen("P-256"), "secret");
  WriteKey("rsa.key", EVP_RSA_gen(2048), "");
  const struct {
    const char* certificate;
    const char* key;
    const char* refusal;
  } cases[] = {
      {"a.pem", "a.key", ""},
      {"none.pem", "a.key", "the certificate 'none.pem' cannot be read: No such file or directory"},
      {"a.pem", "none.key", "the key 'none.key' cannot be read: No such file or directory"},
      {"a.key", "a.key", "'a.key' holds no usable PEM certificate (PEM lib)"},
      {"a.pem", "a.pem", "'a.pem' holds no usable PEM private key without a passphrase (PEM lib)"},
      {"a.pem", "locked.key", "'locked.key' holds no usable PEM private key without a passphrase (PEM lib)"},
      {"a.pem", "b.key", "the key in 'b.key' does not belong to the certificate in 'a.pem'"},
      {"a.pem", "rsa.key", "the key in 'rsa.key' does not belong to the certificate in 'a.pem'"},
  };
  for (const auto& c : cases) EXPECT_EQ(Refusal(c.certificate, c.key), c.refusal) << c.certificate << " " << c.key;
}

TEST_F(ServerContextTest, KnowsTheSameCertificateAgain) {
  const auto first = ServerContext::Load(File("a.pem"), File("a.key"));
  const auto again = ServerContext::Load(File("a.pem"), File("a.key"));
  const auto other = ServerContext::Load(File("b.pem"), File("b.key"));
  ASSERT_TRUE(first.ok() && again.ok() && other.ok());
  EXPECT_TRUE((*first)->SameAs(**again));
  EXPECT_FALSE((*first)->SameAs(**other));
  EXPECT_EQ((*first)->fingerprint().size(), 64U);
  EXPECT_NE((*first)->fingerprint(), (*other)->fingerprint());
  EXPECT_FALSE((*first)->expired());
}

TEST_F(ServerContextTest, AStreamOutlivesItsContext) {
  std::array<int, 2> pair{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
  auto context = ServerContext::Load(File("a.pem"), File("a.key"));
  ASSERT_TRUE(context.ok());
  const std::unique_ptr<ServerStream> stream = (*context)->Accept(pair[0]);
  context = InvalidArgument("gone");
  EXPECT_EQ(stream->Handshake().io, Io::kBlocked);
  EXPECT_FALSE(stream->wants_write());
  ASSERT_EQ(write(pair[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
  EXPECT_EQ(stream->Handshake().io, Io::kFailed);
  EXPECT_TRUE(stream->is_plain_http());
  EXPECT_EQ(stream->failure(), "http request");
  close(pair[0]);
  close(pair[1]);
}

// A client of OpenSSL's and a stream, hands shaken, at the two ends of a socket pair that does not block.
class ServerStreamTest : public ServerContextTest {
 protected:
  ServerStreamTest() {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair_.data()) != 0) std::abort();
    const int room = 1 << 20;
    setsockopt(pair_[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    stream_ = (*ServerContext::Load(File("a.pem"), File("a.key")))->Accept(pair_[0]);
    SSL_set_fd(client_, pair_[1]);
  }
  ~ServerStreamTest() override {
    SSL_free(client_);
    SSL_CTX_free(context_);
    close(pair_[0]);
    close(pair_[1]);
  }
  void ShakeHands() {
    while (SSL_connect(client_) != 1) stream_->Handshake();
    while (!stream_->established()) ASSERT_NE(stream_->Handshake().io, Io::kFailed);
  }
  // Sends a record that carries no data.
  void RenewKeys(int times) {
    for (int i = 0; i < times; ++i) {
      ASSERT_EQ(SSL_key_update(client_, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
      ASSERT_EQ(SSL_do_handshake(client_), 1) << i;
    }
  }
  IoResult Read() { return stream_->Read(bytes_.data(), bytes_.size()); }

  std::array<int, 2> pair_{};
  std::unique_ptr<ServerStream> stream_;
  SSL_CTX* context_ = SSL_CTX_new(TLS_client_method());
  SSL* client_ = SSL_new(context_);
  std::array<char, 1024> bytes_{};
};

TEST_F(ServerStreamTest, RecordsWithoutDataAreBoundedAndDataMakesGood) {
  ShakeHands();
  for (int round = 0; round < 3; ++round) {
    RenewKeys(kIdleRecordsMax - 1);
    ASSERT_EQ(SSL_write(client_, "x", 1), 1);
    const IoResult result = Read();
    ASSERT_EQ(result.io, Io::kProgress) << round << stream_->failure();
    EXPECT_EQ(result.bytes, 1U);
  }
  RenewKeys(kIdleRecordsMax);
  EXPECT_EQ(Read().io, Io::kBlocked);
  EXPECT_FALSE(stream_->HasMore());
  RenewKeys(1);
  EXPECT_EQ(Read().io, Io::kFailed);
  EXPECT_EQ(stream_->failure(), "the client sends records without data");
}

TEST_F(ServerStreamTest, ACallTakesNoMoreThanItsShareOfWhatIsNoData) {
  ShakeHands();
  SSL_set_block_padding(client_, kRecordBytesMax);
  constexpr int kRecords = 2 * kCallBytesMax / kRecordBytesMax;
  RenewKeys(kRecords);
  ASSERT_EQ(SSL_write(client_, "x", 1), 1);
  int calls = 1;
  while (Read().io == Io::kBlocked) {
    ASSERT_TRUE(stream_->HasMore());
    ++calls;
  }
  EXPECT_EQ(calls, 3);
}

TEST_F(ServerStreamTest, AnEndWithoutAFarewellIsAnEndAndAnswersStillGoOut) {
  ShakeHands();
  ASSERT_EQ(SSL_write(client_, "x", 1), 1);
  ASSERT_EQ(shutdown(pair_[1], SHUT_WR), 0);
  EXPECT_EQ(Read().io, Io::kProgress);
  EXPECT_EQ(Read().io, Io::kClosed);
  EXPECT_EQ(stream_->Write("y").io, Io::kProgress);
  EXPECT_EQ(SSL_read(client_, bytes_.data(), 1), 1);
}

// 9 bytes must not buy 128 KiB, whichever way they come.
TEST_F(ServerContextTest, AFirstMessageThatIsTooLongIsRefusedAtItsHead) {
  const auto context = *ServerContext::Load(File("a.pem"), File("a.key"));
  const struct {
    std::string_view start;
    Io end;
  } rows[] = {
      {std::string_view("\x16\x03\x01\x40\x00\x01\x00\x40\x00", 9), Io::kBlocked},
      {std::string_view("\x16\x03\x01\x40\x00\x01\x00\x40\x01", 9), Io::kFailed},
      {std::string_view("\x16\x03\x01\x40\x00\x01\x02\x00\x00", 9), Io::kFailed},
      {std::string_view("\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x03\x02\x00\x00", 14), Io::kFailed},
  };
  for (size_t i = 0; i < std::size(rows); ++i) {
    for (const bool trickles : {false, true}) {
      std::array<int, 2> pair{};
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
      const std::unique_ptr<ServerStream> stream = context->Accept(pair[0]);
      const size_t step = trickles ? 1 : rows[i].start.size();
      Io end = Io::kBlocked;
      for (size_t at = 0; at < rows[i].start.size() && end == Io::kBlocked; at += step) {
        EXPECT_EQ(write(pair[1], rows[i].start.data() + at, step), static_cast<ssize_t>(step));
        end = stream->Handshake().io;
      }
      EXPECT_EQ(end, rows[i].end) << i << trickles;
      EXPECT_EQ(stream->failure(), end == Io::kFailed ? "the client's first message is too long" : "") << i;
      close(pair[0]);
      close(pair[1]);
    }
  }
}

}  // namespace
}  // namespace oncegate::tls
