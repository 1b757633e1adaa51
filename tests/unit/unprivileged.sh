#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# unprivileged.sh PROGRAM [ARGUMENT...]: runs a unit test as user 1000, where
# it would run as root. The sources may lie where that user may not look.
set -euo pipefail
program=$1
shift
((EUID == 0)) || exec "$program" "$@"

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp "$program" "$place/test"
chown 1000:1000 "$place"
TMPDIR=$place setpriv --reuid 1000 --regid 1000 --clear-groups \
  "$place/test" "$@"
