#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <memory>

#include "tls/server_stream.h"

namespace oncegate::tls {

struct SslContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct BioMethodDeleter {
  void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};

// Shared by a context and all its streams, because a stream outlives a context that was replaced.
struct ServerStream::Library {
  std::unique_ptr<SSL_CTX, SslContextDeleter> context;
  std::unique_ptr<BIO_METHOD, BioMethodDeleter> method;
};

// A BIO for a ServerStream's socket: sends without signals, and notes whether the kernel had more. Null: no memory.
BIO_METHOD* MakeSocketMethod();

}  // namespace oncegate::tls
