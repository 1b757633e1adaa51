#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The plugin's help, the man page and README name the same parameters.
# $1: the plugin.
set -euo pipefail

command -v nbdkit >/dev/null || {
  echo "SKIPPED: nbdkit is not installed"
  exit 77
}
# Prints the parameters in each, one a line.
in_help() { nbdkit "$1" --help | grep -oP '^[a-z_]+(?==)'; }
in_man() { grep -oP '^=item \[?B<\K[a-z_]+(?==)' plugin/nbdkit-ovl-plugin.pod; }
in_readme() {
  sed -n '/^| `/{s/^| \(`[^|]*\).*/\1/p}' README.md | grep -oP '[a-z_]+(?==)'
}

help=$(in_help "$1" | sort -u)
[[ -n $help ]]
diff <(echo "$help") <(in_man | sort -u)
diff <(echo "$help") <(in_readme | sort -u)
