#include "store/background_errors.h"

#include <rocksdb/listener.h>

namespace oncegate::store {
namespace {

class ErrorListener final : public rocksdb::EventListener {
 public:
  explicit ErrorListener(std::atomic<bool>* kept) : kept_(kept) {}

  const char* Name() const override { return "oncegate.ErrorListener"; }

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    if (reason == rocksdb::BackgroundErrorReason::kCompaction && error->IsNoSpace())
      *error = rocksdb::Status::OK();
    else
      kept_->store(true);
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status /*error*/,
                            bool* recovers) override {
    *recovers = false;
  }

 private:
  std::atomic<bool>* const kept_;
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> NewErrorListener(std::atomic<bool>* kept) {
  return std::make_shared<ErrorListener>(kept);
}

}  // namespace oncegate::store
