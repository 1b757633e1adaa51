# SPDX-License-Identifier: BSD-3-Clause
# A test script that stands on ovltest.py: ovl_python_test(name seconds script
# arguments...). It mounts file systems and is skipped (status 77) without root.
function(ovl_python_test name seconds script)
  add_test(NAME ${name}
    COMMAND python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${ARGN})
  set_tests_properties(${name} PROPERTIES
    ENVIRONMENT "OVL_BUILD_DIR=${PROJECT_BINARY_DIR}"
    LABELS root TIMEOUT ${seconds} SKIP_RETURN_CODE 77)
endfunction()
