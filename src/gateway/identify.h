#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/record.h"
#include "gateway/route.h"
#include "http/head.h"

namespace oncegate {

// Who a delivery is: what of a request the route says to look at.
struct Identity {
  std::string scope;
  std::string key;  // empty: missing
  std::string type;
  Labels labels;
};

// Reads key, scope, type and labels from a request's raw bytes. InvalidArgument, with a message for the sender, if the
// key breaks the rules or its header is repeated.
Result<Identity> Identify(const Route& route, const http::Fields& fields, std::string_view body);

}  // namespace oncegate
