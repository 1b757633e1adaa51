#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# All C++ of ours is as clang-format 14 writes it.
set -euo pipefail
source tests/checks/files.sh

command -v clang-format-14 >/dev/null || {
  echo "SKIPPED: clang-format-14 is not installed"
  exit 77
}
project_files \( -name '*.cc' -o -name '*.h' \) |
  xargs -0 clang-format-14 --dry-run -Werror
