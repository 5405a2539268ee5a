#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace oncegate {

// What the control listener says of a record.
struct ListedRecord {
  std::string state;
  std::string type;
  int attempt = 0;
};

// The listing, or as much of it as the query asks for, page by page; nothing if that fails, which fails the test.
std::optional<std::map<std::string, ListedRecord>> ListRecords(uint16_t control_port, const std::string& query,
                                                               int page_size);

struct ControlStats {
  int active = 0;
  int expired = 0;
  std::map<std::string, int> by_state;  // states without records are left out, as are types below
  std::map<std::string, int> by_type;
};

// Waits until the statistics are exact.
std::optional<ControlStats> ExactStats(uint16_t control_port);

}  // namespace oncegate
