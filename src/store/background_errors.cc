#include "store/background_errors.h"

#include <rocksdb/listener.h>

#include <utility>

namespace oncegate::store {
namespace {

class ErrorListener final : public rocksdb::EventListener {
 public:
  ErrorListener(std::atomic<bool>* kept, std::function<void(const rocksdb::Status&)> damaged)
      : kept_(kept), damaged_(std::move(damaged)) {}

  const char* Name() const override { return "oncegate.ErrorListener"; }

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    if (reason == rocksdb::BackgroundErrorReason::kCompaction && error->IsNoSpace())
      *error = rocksdb::Status::OK();
    else if (error->IsCorruption())
      damaged_(*error);
    else
      kept_->store(true);
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status /*error*/,
                            bool* recovers) override {
    *recovers = false;
  }

 private:
  std::atomic<bool>* const kept_;
  const std::function<void(const rocksdb::Status&)> damaged_;
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> NewErrorListener(std::atomic<bool>* kept,
                                                         std::function<void(const rocksdb::Status&)> damaged) {
  return std::make_shared<ErrorListener>(kept, std::move(damaged));
}

}  // namespace oncegate::store
