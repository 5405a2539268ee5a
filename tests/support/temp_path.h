#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace oncegate {

// The path of a file in a directory of this process's own, which goes with it: CTest runs the tests of one program as
// processes side by side.
inline std::string TempPath(std::string_view name) {
  struct Directory {
    Directory() {
      if (mkdtemp(path.data()) == nullptr) std::abort();
    }
    ~Directory() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    std::string path = testing::TempDir() + "/oncegate_test_XXXXXX";
  };
  static const Directory directory;
  return directory.path + "/" + std::string(name);
}

// A file of that name and text at TempPath(name); its path.
inline std::string WriteTempFile(std::string_view name, std::string_view text) {
  std::string path = TempPath(name);
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

}  // namespace oncegate
