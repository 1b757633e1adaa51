# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the checks. project_files FIND_TESTS...: the project's own files,
# each ended by a NUL; not by git, so that an unpacked archive can be checked.
project_files() {
  find . \( -name .git -o -path './build*' -o -name __pycache__ \
    -o -path ./.cache \) -prune -o -type f "$@" -print0
}
