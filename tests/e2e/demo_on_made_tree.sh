#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The demo on a small made tree in place of /usr.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d -p /var/tmp ovl-made-tree.XXXXXX)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
python3 -B "$here/made_tree.py" "$place"
"$here/../../tools/demo.sh" --lower "$place" "$@"
