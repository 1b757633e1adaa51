# SPDX-License-Identifier: BSD-3-Clause
# -DOVL_SANITIZE=address,undefined or =thread; see CMakePresets.json.
set(OVL_SANITIZE "" CACHE STRING "Sanitizers to build with")
if(OVL_SANITIZE)
  add_compile_options(-fsanitize=${OVL_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OVL_SANITIZE})
endif()
