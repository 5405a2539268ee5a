#include "store/background_errors.h"

#include <rocksdb/listener.h>

#include <utility>

namespace oncegate::store {
namespace {

class ErrorListener final : public rocksdb::EventListener {
 public:
  ErrorListener(BackgroundErrors* errors, std::function<void(const rocksdb::Status&)> damaged)
      : errors_(*errors), damaged_(std::move(damaged)) {}

  const char* Name() const override { return "oncegate.ErrorListener"; }

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    ++errors_.total;
    if (error->IsCorruption()) damaged_(*error);
    if (reason != rocksdb::BackgroundErrorReason::kCompaction) {
      errors_.kept.store(true);
      return;
    }
    ++errors_.failed_compactions;
    *error = rocksdb::Status::OK();
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status /*error*/,
                            bool* recovers) override {
    *recovers = false;
  }

 private:
  BackgroundErrors& errors_;
  const std::function<void(const rocksdb::Status&)> damaged_;
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> NewErrorListener(BackgroundErrors* errors,
                                                         std::function<void(const rocksdb::Status&)> damaged) {
  return std::make_shared<ErrorListener>(errors, std::move(damaged));
}

}  // namespace oncegate::store
