# The rules that every target of the project follows.

# Compile options: warnings are errors; sanitizers as configured.
add_library(oncegate_options INTERFACE)
target_compile_options(oncegate_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
  -fno-omit-frame-pointer)
# Designated initializers leave members out on purpose: they have defaults.
target_compile_options(oncegate_options INTERFACE -Wno-missing-field-initializers)
# Embedded files are string literals; no compiler in use stops at the 64 KiB that the standard asks for.
target_compile_options(oncegate_options INTERFACE -Wno-overlength-strings)
# GCC 12 sees overlapping copies in `"literal" + std::string` that are not there (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(oncegate_options INTERFACE -Wno-restrict)
endif()
# A file among several of one compilation is no header, though GCC takes it for one.
if(ONCEGATE_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(oncegate_options INTERFACE -Wno-subobject-linkage)
endif()
target_include_directories(oncegate_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(ONCEGATE_SANITIZE)
  list(JOIN ONCEGATE_SANITIZE "," sanitizers)
  target_compile_options(oncegate_options INTERFACE -fsanitize=${sanitizers} -fno-sanitize-recover=all)
  target_link_options(oncegate_options INTERFACE -fsanitize=${sanitizers})
else()
  target_compile_options(oncegate_options INTERFACE $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
  target_compile_options(oncegate_options INTERFACE -fstack-protector-strong)
endif()

# Headers cost more than what includes them: several files of a target are one compilation, wherever everything is likely
# to be built at once. Release builds compile each file of src/ for itself, so that none leans on another's includes.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 10)
if(ONCEGATE_UNITY)
  set(CMAKE_UNITY_BUILD ON)
endif()

# oncegate_room(NAME SOURCES ... DEPS rooms... LIBS external...)
# One folder of src/ as one static library. DEPS are other rooms, LIBS are external libraries, used in .cc files only.
function(oncegate_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(oncegate_${name} STATIC ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPS PREPEND oncegate_)
  target_link_libraries(oncegate_${name} PUBLIC oncegate_options ${ARG_DEPS} PRIVATE ${ARG_LIBS})
endfunction()

# oncegate_embed(OUTPUT FUNCTION namespace::Name HEADER path FILES files...)
# Text files as part of the binary: OUTPUT becomes the name of a source that defines the function, which the header
# declares as `std::span<const EmbeddedFile> Name();` (base/embedded_file.h).
function(oncegate_embed output)
  cmake_parse_arguments(ARG "" "FUNCTION;HEADER" "FILES" ${ARGN})
  string(REGEX REPLACE "^.*::" "" name ${ARG_FUNCTION})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${source} -DHEADER=${ARG_HEADER} -DFUNCTION=${ARG_FUNCTION} "-DFILES=${ARG_FILES}"
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    DEPENDS ${ARG_FILES} ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    VERBATIM)
  set(${output} ${source} PARENT_SCOPE)
endfunction()

# oncegate_test(NAME SOURCES ... DEPS rooms... LIBS external...)
# One GoogleTest program; each of its tests is a CTest test.
function(oncegate_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LIBS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPS PREPEND oncegate_)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE oncegate_options ${ARG_DEPS} ${ARG_LIBS} GTest::gtest_main GTest::gmock)
  # What is tested is built as it ships; the tests themselves build two to three times faster like this, and run as fast.
  target_compile_options(${name} PRIVATE $<IF:$<BOOL:${ONCEGATE_SANITIZE}>,-O0,-O1>)
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON)
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()

# oncegate_bench(NAME SOURCES ... DEPS rooms...): one Google Benchmark program, also run for a moment inside the tests so that it never rots.
function(oncegate_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPS PREPEND oncegate_)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE oncegate_options ${ARG_DEPS} ${ARG_LIBS} benchmark::benchmark benchmark::benchmark_main)
  if(ONCEGATE_TESTS)
    add_test(NAME bench.${name} COMMAND ${name} --benchmark_min_time=0.001)
    set_tests_properties(bench.${name} PROPERTIES TIMEOUT 120)
  endif()
endfunction()
