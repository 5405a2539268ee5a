#include <iostream>

#include "cli/app.h"

int main(int argc, char** argv) {
  return oncegate::cli::Run(oncegate::cli::Arguments(argv + 1, argv + argc), {std::cout, std::cerr});
}
