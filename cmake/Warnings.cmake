# SPDX-License-Identifier: BSD-3-Clause
# Every target of ours compiles with these; third-party headers are SYSTEM.
add_library(ovl_options INTERFACE)
target_include_directories(ovl_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(ovl_options INTERFACE
  _FILE_OFFSET_BITS=64 _GNU_SOURCE)
target_compile_options(ovl_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wold-style-cast
  -Wnon-virtual-dtor -Werror -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(ovl_options INTERFACE
    -Wthread-safety -Werror=thread-safety)
endif()
if(CMAKE_BUILD_TYPE MATCHES "Rel" AND NOT OVL_SANITIZE)
  target_compile_options(ovl_options INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
