#pragma once

namespace oncegate {

// Names the calling thread, for whoever looks with `top -H`. Fifteen characters at most are kept.
void NameThisThread(const char* name);

}  // namespace oncegate
