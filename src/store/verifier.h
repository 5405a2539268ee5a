#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "store/codec.h"
#include "store/database.h"
#include "store/store.h"
#include "store/transition.h"
#include "store/ttl_filter.h"

// For the .cc files of this folder only.
namespace oncegate::store {

// Compares records with what the indexes and bodies say of them, as everything was at one moment. What has expired and
// may have been removed is left out. Memory does not grow with the store: every entry that a record asks for is looked
// up, and as long as there are as many as are asked for, none can be there without a record. Only where the numbers
// differ is every entry's record looked up.
class Verifier {
 public:
  // `removed_until_ms`: what expired until then may be gone; REQUIRES that it does not change during Run. `stop` ends
  // it early.
  Verifier(Database& database, int64_t removed_until_ms, const std::atomic<bool>& stop);
  ~Verifier();
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  Result<VerifyReport> Run();

 private:
  Status CheckRecords();
  void CheckRecord(std::string_view key, std::string_view value);
  void CheckBody(const ScopedKey& key, const BodyRef& ref, const RecordId& id, BodyPart part);
  // What an index holds beyond what its records ask for.
  Status CheckIndex(Family family, ExpiresAtFunction expires_at);
  void CheckOwner(Family family, std::string_view key, std::string_view value);
  Status CountBodies();
  Status ReadAll(Family family);

  [[nodiscard]] bool IsRemoved(int64_t expires_at_ms) const { return expires_at_ms <= removed_until_ms_; }
  bool Find(Family family, std::string_view key, rocksdb::PinnableSlice* value);
  void Differs(std::string sentence);

  Database& database_;
  const int64_t removed_until_ms_;
  const std::atomic<bool>& stop_;
  const rocksdb::Snapshot* const snapshot_;
  std::array<uint64_t, kFamilyCount> wanted_{};  // entries that records ask for and that are there
  VerifyReport report_;
};

}  // namespace oncegate::store
