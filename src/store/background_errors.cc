#include "store/background_errors.h"

#include <rocksdb/listener.h>

#include <utility>

namespace oncegate::store {
namespace {

class ErrorListener final : public rocksdb::EventListener {
 public:
  ErrorListener(BackgroundErrors* errors, ErrorCalls calls) : errors_(*errors), calls_(std::move(calls)) {}

  const char* Name() const override { return "oncegate.ErrorListener"; }

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    ++errors_.total;
    if (error->IsCorruption()) calls_.damaged(*error);
    if (reason == rocksdb::BackgroundErrorReason::kCompaction)
      *error = rocksdb::Status::OK();
    else
      errors_.kept.store(true);
  }
  void OnCompactionCompleted(rocksdb::DB* /*database*/, const rocksdb::CompactionJobInfo& job) override {
    const bool failed = !job.status.ok() && !job.status.IsShutdownInProgress() && !job.status.IsColumnFamilyDropped();
    if (failed && job.compaction_reason != rocksdb::CompactionReason::kManualCompaction)
      calls_.compaction_failed(job.cf_name);
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status /*error*/,
                            bool* recovers) override {
    *recovers = false;
  }

 private:
  BackgroundErrors& errors_;
  const ErrorCalls calls_;
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> NewErrorListener(BackgroundErrors* errors, ErrorCalls calls) {
  return std::make_shared<ErrorListener>(errors, std::move(calls));
}

}  // namespace oncegate::store
