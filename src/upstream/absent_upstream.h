#pragma once

#include "upstream/upstream.h"

namespace oncegate {

// Where no application is behind oncegate: nothing is ever sent.
class AbsentUpstream final : public Upstream {
 public:
  ForwardResult Forward(const OutboundRequest&, ResponseReceiver&) override {
    return {ForwardEnd::kNotSent, "there is no application: --upstream was not given"};
  }
  Status Probe(int64_t) override { return Unavailable("there is no application"); }
  void Abort() override {}
};

}  // namespace oncegate
