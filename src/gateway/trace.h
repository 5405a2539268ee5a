#pragma once

#include <string_view>

#include "base/log.h"
#include "http/head.h"

namespace oncegate {

// The trace that a request says it is part of: the trace id of its traceparent field (W3C Trace Context), 32
// hexadecimal digits. Empty if there is none, or one that cannot be relied on. Lives as long as the fields.
std::string_view TraceIdOf(const http::Fields& fields);

// For log lines; a field without a name, which is left out, for the empty trace.
inline LogField TraceField(std::string_view trace) {
  return {trace.empty() ? "" : "trace", trace};
}

}  // namespace oncegate
