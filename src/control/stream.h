#pragma once

#include <string>

namespace oncegate::control {

// An answer that goes on for as long as both sides like. Used by one thread at a time.
class Stream {
 public:
  virtual ~Stream() = default;
  // What is to be sent now, often nothing. Asked for about ten times a second, as long as the client keeps up; never
  // waits.
  virtual std::string Take() = 0;
};

}  // namespace oncegate::control
