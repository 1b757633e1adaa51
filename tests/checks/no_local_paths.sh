#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# No file may name a path of the machine that it was written on: the home and
# the checkouts of developers. The brackets keep this file out of the result.
set -euo pipefail
source tests/checks/files.sh

pattern='(^|[^[:alnum:]_.])/(w[o]rk/(main|shared|\.[a-z])|h[o]me/[a-z]|r[o]ot/|t[m]p/b-)'
if project_files | xargs -0 grep -nIE "$pattern"; then
  echo "no_local_paths: the lines above name a developer's paths"
  exit 1
fi
