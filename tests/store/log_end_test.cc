// Where a log ends that has room behind it: what an interrupted write can leave, and what it cannot.

#include "store/log_end.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "store/crc32c.h"
#include "store/log_format.h"

namespace oncegate::store {
namespace {

constexpr size_t kSectorBytes = 512;
constexpr size_t kRoomBytes = 64 << 10;

std::string Text(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  return text;
}

// A log as RocksDB writes it.
class Log {
 public:
  void Append(std::string_view payload) {
    bool first = true;
    do {
      const size_t left = kLogBlockBytes - bytes_.size() % kLogBlockBytes;
      if (left < kLogHeaderBytes) {
        bytes_.append(left, '\0');
        continue;
      }
      const std::string_view part = payload.substr(0, left - kLogHeaderBytes);
      payload.remove_prefix(part.size());
      AppendPart(first ? (payload.empty() ? '\x01' : '\x02') : (payload.empty() ? '\x04' : '\x03'), part);
      first = false;
    } while (!payload.empty() || first);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::string WithRoom() const { return bytes_ + std::string(kRoomBytes, '\0'); }

 private:
  void AppendPart(char type, std::string_view part) {
    const std::string typed = type + std::string(part);
    const uint32_t crc = Crc32c(typed);
    const uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
    for (size_t i = 0; i < 4; ++i) bytes_ += static_cast<char>(masked >> (8 * i));
    bytes_ += static_cast<char>(part.size());
    bytes_ += static_cast<char>(part.size() >> 8);
    bytes_ += typed;
  }
  std::string bytes_;
};

struct Judged {
  LogState state;
  uint64_t end;
};

Judged Judge(std::string_view bytes) {
  LogJudge judge;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kLogBlockBytes)))
    judge.Add(bytes.substr(0, kLogBlockBytes));
  return {judge.state(), judge.end()};
}

TEST(LogJudge, FindsTheEndOfWhatIsWhole) {
  Log log;
  for (unsigned i = 0; i < 60; ++i) {
    log.Append(Text(i % 7 == 0 ? 40'000 : 10 + 97 * i, i));
    for (const std::string& bytes : {log.bytes(), log.WithRoom()}) {
      const Judged judged = Judge(bytes);
      EXPECT_EQ(judged.state, LogState::kSound) << i;
      EXPECT_EQ(judged.end, log.bytes().size()) << i;
    }
  }
  EXPECT_EQ(Judge("").state, LogState::kSound);
  EXPECT_EQ(Judge(std::string(kRoomBytes, '\0')).end, 0U);
}

TEST(LogJudge, AFileThatIsShorterThanItsLastRecordIsCutOff) {
  Log log;
  log.Append(Text(300, 1));
  const size_t whole = log.bytes().size();
  log.Append(Text(1000, 2));
  for (size_t size = whole + 1; size < log.bytes().size(); ++size) {
    const Judged judged = Judge(std::string_view(log.bytes()).substr(0, size));
    EXPECT_EQ(judged.state, LogState::kCutOff) << size;
    EXPECT_EQ(judged.end, whole) << size;
  }
}

// Of the last write any sectors may have arrived.
TEST(LogJudge, WhatAnInterruptedWriteLeftIsNoDamage) {
  std::mt19937_64 random(5);  // NOLINT(cert-msc51-cpp): the same every time
  for (unsigned round = 0; round < 500; ++round) {
    Log log;
    for (unsigned i = 0; i < 1 + random() % 5; ++i) log.Append(Text(1 + random() % 30'000, random()));
    const size_t whole = log.bytes().size();
    log.Append(Text(1 + random() % (round % 3 == 0 ? 100'000 : 3000), random()));
    std::string bytes = log.WithRoom();
    bool lost = false;
    for (size_t from = whole; from < log.bytes().size();) {
      const size_t to = std::min(log.bytes().size(), (from / kSectorBytes + 1) * kSectorBytes);
      // Ends of records of a few bytes look like records that hold zeros.
      if (random() % 2 == 0 && to - from >= 16) {
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.begin() + static_cast<std::ptrdiff_t>(to),
                  '\0');
        lost = true;
      }
      from = to;
    }
    const Judged judged = Judge(bytes);
    EXPECT_NE(judged.state, LogState::kDamaged) << round;
    EXPECT_EQ(judged.end, lost ? whole : log.bytes().size()) << round;
  }
}

// Wherever it stopped.
TEST(LogJudge, TheBeginningOfAWriteIsNoDamage) {
  Log log;
  log.Append(Text(32'300, 1));
  const size_t whole = log.bytes().size();
  log.Append(Text(1500, 2));
  // Of each of its two parts eight bytes are missing at least: so many zeros may belong to a record.
  for (size_t written = 1; written + 8 <= log.bytes().size() - whole; ++written) {
    if (const size_t at = whole + written; at > kLogBlockBytes - 8 && at <= kLogBlockBytes) continue;
    std::string bytes = log.bytes().substr(0, whole + written) + std::string(kRoomBytes, '\0');
    const Judged judged = Judge(bytes);
    EXPECT_NE(judged.state, LogState::kDamaged) << written;
    EXPECT_EQ(judged.end, whole) << written;
  }
}

// The last record as well: it was acknowledged.
TEST(LogJudge, EveryWrongBitOfARecordIsDamage) {
  for (const size_t last : {size_t{40}, size_t{700}, size_t{3000}, size_t{33'000}}) {
    Log log;
    log.Append(Text(600, 1));
    log.Append(Text(last, 2));
    const std::string right = log.WithRoom();
    const size_t step = last > 4000 ? 61 : last > 1000 ? 5 : 1;
    for (size_t bit = 0; bit < 8 * log.bytes().size(); bit += step) {
      std::string bytes = right;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      EXPECT_EQ(Judge(bytes).state, LogState::kDamaged) << last << ", bit " << bit;
    }
  }
}

TEST(LogJudge, AWrongBitInTheRoomLosesNothing) {
  Log log;
  log.Append(Text(600, 1));
  for (size_t bit = 8 * log.bytes().size(); bit < 8 * (log.bytes().size() + 400); ++bit) {
    std::string bytes = log.WithRoom();
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    const Judged judged = Judge(bytes);
    if (judged.state != LogState::kDamaged) {
      EXPECT_EQ(judged.end, log.bytes().size()) << bit;
    }
  }
}

// Whatever is missing before another record had been there: it was synced before that one was written.
TEST(LogJudge, ALostSectorBeforeAnotherRecordIsDamage) {
  Log log;
  log.Append(Text(600, 1));
  const size_t begin = log.bytes().size();
  log.Append(Text(3000, 2));
  const size_t end = log.bytes().size();
  log.Append(Text(100, 3));
  for (size_t sector = begin / kSectorBytes + 1; (sector + 1) * kSectorBytes < end; ++sector) {
    std::string bytes = log.WithRoom();
    bytes.replace(sector * kSectorBytes, kSectorBytes, kSectorBytes, '\0');
    EXPECT_EQ(Judge(bytes).state, LogState::kDamaged) << sector;
  }
}

TEST(LogJudge, ARecordInALaterBlockShowsThatAnEarlierOneIsLost) {
  Log log;
  log.Append(Text(1000, 1));
  const size_t begin = log.bytes().size();
  log.Append(Text(kLogBlockBytes - begin - kLogHeaderBytes, 2));
  log.Append(Text(50, 3));
  std::string bytes = log.WithRoom();
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.begin() + kLogBlockBytes, '\0');
  EXPECT_EQ(Judge(bytes).state, LogState::kDamaged);
}

}  // namespace
}  // namespace oncegate::store
