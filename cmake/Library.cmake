# SPDX-License-Identifier: BSD-3-Clause
# A folder is a library: all .cc files in and below it, and what it may include.
function(ovl_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC ovl_options ${ARGN})
endfunction()
