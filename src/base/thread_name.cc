#include "base/thread_name.h"

#include <pthread.h>

#include <string>

namespace oncegate {

void NameThisThread(const char* name) {
  constexpr size_t kNameMax = 15;
  // A name that the kernel does not take is not worth an error.
  (void)pthread_setname_np(pthread_self(), std::string(name).substr(0, kNameMax).c_str());
}

}  // namespace oncegate
