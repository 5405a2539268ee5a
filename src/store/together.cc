// Several calls with one write.

#include <rocksdb/write_batch.h>

#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "store/store_impl.h"

namespace oncegate::store {
namespace {

// A write of more is not worth waiting for: it takes the disk longer than a sync.
constexpr size_t kWriteBytesMax = 1 << 20;
// Shards that wait for one write, and with them their other keys. (ThreadSanitizer follows 64 locks of a thread.)
constexpr size_t kShardsMax = 48;

const ScopedKey& KeyOf(const StoreCall& call) {
  const auto* claim = std::get_if<ClaimCall>(&call);
  return claim != nullptr ? claim->claim.key : std::get<CompleteCall>(call).key;
}

void SetFailed(StoreCall* call, const Status& status) {
  if (auto* claim = std::get_if<ClaimCall>(call))
    claim->result = status;
  else
    std::get<CompleteCall>(*call).status = status;
}

}  // namespace

// Calls that are decided and wait for their one write, with the locks under which they were decided.
class RocksDbStore::Together {
 public:
  struct Part {
    explicit Part(StoreCall* the_call) : call(the_call), change(KeyOf(*the_call)) {}
    StoreCall* call;
    Change change;
  };

  // Whether the key can be decided on now: its shard is locked, and nothing that waits concerns the key itself. Does
  // not wait while it holds locks, so that two of these cannot wait for each other.
  bool Lock(std::mutex& shard, const ScopedKey& key) {
    for (const std::unique_lock<std::mutex>& held : locks_) {
      if (held.mutex() == &shard) return !Concerns(key);
    }
    if (locks_.size() >= kShardsMax) return false;
    std::unique_lock<std::mutex> lock(shard, std::defer_lock);
    if (locks_.empty())
      lock.lock();
    else if (!lock.try_lock())
      return false;
    locks_.push_back(std::move(lock));
    return true;
  }
  // Decides a call whose key Lock has let in.
  static void Prepare(RocksDbStore* store, StoreCall* call, Change* change) {
    if (auto* claim = std::get_if<ClaimCall>(call)) {
      claim->result = store->PrepareClaim(claim->claim, claim->facts, change);
      return;
    }
    auto& complete = std::get<CompleteCall>(*call);
    complete.status = store->PrepareCompletion(complete.key, complete.token, complete.response, change);
  }
  void Clear() {
    parts.clear();
    batch.Clear();
    locks_.clear();
  }

  std::deque<Part> parts;
  rocksdb::WriteBatch batch;

 private:
  [[nodiscard]] bool Concerns(const ScopedKey& key) const {
    for (const Part& part : parts) {
      if (part.change.transition.key == key) return true;
    }
    return false;
  }

  std::vector<std::unique_lock<std::mutex>> locks_;
};

void RocksDbStore::CallTogether(std::vector<StoreCall>* calls) {
  const Access access(*this);
  if (!access.status().ok()) {
    for (StoreCall& call : *calls) SetFailed(&call, access.status());
    return;
  }
  Together together;
  for (StoreCall& call : *calls) {
    std::mutex& shard = ShardOf(KeyOf(call));
    if (!together.Lock(shard, KeyOf(call))) {
      WriteTogether(&together);
      together.Lock(shard, KeyOf(call));
    }
    Together::Part& part = together.parts.emplace_back(&call);
    Together::Prepare(this, &call, &part.change);
    if (!part.change.is_wanted()) {
      together.parts.pop_back();
      continue;
    }
    AppendTransition(part.change.transition, *database_, &together.batch);
    if (together.batch.GetDataSize() >= kWriteBytesMax) WriteTogether(&together);
  }
  WriteTogether(&together);
}

void RocksDbStore::WriteTogether(Together* together) {
  if (!together->parts.empty()) {
    const WriteGate::Pass pass(gate_);
    const Status status = database_->Write(&together->batch);
    for (Together::Part& part : together->parts) {
      if (status.ok()) {
        CountTransition(part.change.transition, &counts_);
        NoteLease(part.change.transition);
        if (std::holds_alternative<ClaimCall>(*part.call)) database_->open_claims().Put(*std::move(part.change.after));
        continue;
      }
      if (const auto* claim = std::get_if<ClaimCall>(part.call)) DoubtClaim(claim->claim, part.change);
      SetFailed(part.call, status);
    }
  }
  together->Clear();
}

}  // namespace oncegate::store
