#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "store/store.h"

namespace oncegate {

// Makes calls of several threads together (Store::CallTogether) without a thread of its own, and without one of them
// waiting for another. Who comes while nobody writes makes his own call, and then those that have come meanwhile, until
// none is left; all others only leave theirs here and go on. Thread-safe.
//
// How many calls wait is for the callers to bound.
class CallCombiner {
 public:
  static constexpr size_t kTogetherMax = 64;
  // Gets the call once it was made, on the thread of whoever makes calls now: others wait meanwhile, so that it must
  // not wait itself. It may submit further calls.
  using Done = std::function<void(StoreCall made)>;

  // `store` outlives the combiner.
  explicit CallCombiner(Store& store) : store_(store) {}
  CallCombiner(const CallCombiner&) = delete;
  CallCombiner& operator=(const CallCombiner&) = delete;

  // `done` is called once, perhaps before this returns.
  void Submit(StoreCall call, Done done);

 private:
  struct Waiting {
    StoreCall call;
    Done done;
  };

  // The next calls to be made, in order. None: nobody makes calls from now on.
  std::vector<Waiting> TakeWaiting();
  void Make(std::vector<Waiting> waiting);

  Store& store_;
  std::mutex mutex_;
  std::vector<Waiting> waiting_;  // guarded by mutex_
  bool making_ = false;           // guarded by mutex_: a thread is in Submit that takes what waits
};

}  // namespace oncegate
