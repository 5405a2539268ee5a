#include "control/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cctype>
#include <regex>
#include <set>
#include <string>

#include "control/api.h"

namespace oncegate::control {
namespace {

std::set<std::string> Described() {
  std::set<std::string> operations;
  simdjson::dom::parser parser;
  simdjson::dom::object paths;
  EXPECT_EQ(parser.parse(std::string(OpenApiText()))["paths"].get(paths), simdjson::SUCCESS);
  for (const auto& [path, item] : paths) {
    const std::string pattern = std::regex_replace(std::string(path), std::regex(R"(\{\w+\})"), "*");
    simdjson::dom::object methods;
    EXPECT_EQ(item.get(methods), simdjson::SUCCESS) << path;
    for (const auto& [name, operation] : methods) {
      if (name == "parameters") continue;
      std::string method(name);
      for (char& c : method) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      operations.insert(method + " " + pattern);
    }
  }
  return operations;
}

// tests/e2e/openapi_test.py goes on from here: parameters, members and answers.
TEST(OpenApiTest, DescribesTheOperationsThatAreAnswered) {
  const std::vector<std::string> answered = ControlApi::Operations();
  EXPECT_THAT(Described(), testing::UnorderedElementsAreArray(answered));
}

}  // namespace
}  // namespace oncegate::control
