#include "store/type_dictionary.h"

#include <mutex>

#include "store/bytes.h"

namespace oncegate::store {

Status TypeDictionary::Load() {
  std::string end(kTypePrefix);
  ++end.back();
  Database::Range range = database_.Scan(Family::kDefault, std::string(kTypePrefix), std::move(end));
  const std::lock_guard lock(mu_);
  for (range->SeekToFirst(); range->Valid(); range->Next()) {
    Reader reader(AsView(range->key()).substr(kTypePrefix.size()));
    const auto id = reader.Big<uint32_t>();
    if (!reader.ok() || id == kOtherTypes) return Corruption("an entry of the type dictionary cannot be read");
    names_[id] = range->value().ToString();
    ids_[range->value().ToString()] = id;
  }
  return FromRocks(range->status(), "reading the type dictionary");
}

Result<uint32_t> TypeDictionary::IdFor(const std::string& name) {
  {
    const std::shared_lock lock(mu_);
    if (const auto found = ids_.find(name); found != ids_.end()) return found->second;
    if (ids_.size() >= kTypesMax) return kOtherTypes;
  }
  const std::lock_guard lock(mu_);
  if (const auto found = ids_.find(name); found != ids_.end()) return found->second;
  if (ids_.size() >= kTypesMax) return kOtherTypes;
  const auto id = static_cast<uint32_t>(ids_.size() + 1);
  std::string key(kTypePrefix);
  PutBig(&key, id);
  rocksdb::WriteBatch batch;
  (void)batch.Put(key, name);
  if (Status status = database_.Write(&batch); !status.ok()) return status;
  ids_[name] = id;
  names_[id] = name;
  return id;
}

std::optional<uint32_t> TypeDictionary::Find(const std::string& name) const {
  const std::shared_lock lock(mu_);
  const auto found = ids_.find(name);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::string TypeDictionary::NameOf(uint32_t id) const {
  const std::shared_lock lock(mu_);
  const auto found = names_.find(id);
  return found == names_.end() ? "(other)" : found->second;
}

}  // namespace oncegate::store
