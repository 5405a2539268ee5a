#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "control/json_writer.h"
#include "core/record.h"

namespace oncegate::control {

// RFC 4648 section 4, with padding. False, and `*bytes` undefined, for anything else.
bool DecodeBase64(std::string_view text, std::string* bytes);

// An outcome as people give it, {"status", "headers": [[name, value], …], "body" or "body_base64"}, as it is stored: a
// head ready to be sent, less what belongs to one connection or one answer. Only the status is required; "body": null
// says that the body is not kept.
// InvalidArgument, with a sentence that names the member, for anything else.
Result<StoredResponse> ParseResponseJson(std::string_view json);

// The inverse: every field but Content-Length, which the body tells.
void WriteReplay(const StoredResponse& response, JsonWriter* json);

}  // namespace oncegate::control
