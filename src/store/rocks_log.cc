#include "store/rocks_log.h"

#include <rocksdb/env.h>

#include <array>
#include <cstdarg>
#include <cstdio>

namespace oncegate::store {
namespace {

constexpr size_t kLineBytesMax = 1024;

class RocksLog final : public rocksdb::Logger {
 public:
  explicit RocksLog(oncegate::Logger* logger) : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL), logger_(logger) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) noexcept override {}
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) noexcept override {
    if (logger_ == nullptr || level < rocksdb::InfoLogLevel::WARN_LEVEL || level == rocksdb::InfoLogLevel::HEADER_LEVEL)
      return;
    std::array<char, kLineBytesMax> line{};
    (void)std::vsnprintf(line.data(), line.size(), format, arguments);
    const bool error = level >= rocksdb::InfoLogLevel::ERROR_LEVEL;
    logger_->Log(error ? LogLevel::kWarn : LogLevel::kDebug, LogEvent::kWarning, "the database reports",
                 {{"reason", std::string_view(line.data())}});
  }

 private:
  oncegate::Logger* const logger_;
};

}  // namespace

std::shared_ptr<rocksdb::Logger> NewRocksLog(Logger* logger) {
  return std::make_shared<RocksLog>(logger);
}

}  // namespace oncegate::store
