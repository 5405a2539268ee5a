#pragma once

#include <string_view>

#include "http/head.h"

namespace oncegate {

// The trace that a request says it is part of: the trace id of its traceparent field (W3C Trace Context), 32
// hexadecimal digits. Empty if there is none, or one that cannot be relied on. Lives as long as the fields.
std::string_view TraceIdOf(const http::Fields& fields);

}  // namespace oncegate
