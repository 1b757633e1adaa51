#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What `cmake --install` puts in place works: nbdkit loads the plugin, serves
# a directory by it, and there is a man page. As root, `nbdkit ovl` finds it
# by its name, too. $1: the build folder, $2: nbdkit's plugindir.
set -euo pipefail
build=$1 plugindir=$2

command -v nbdinfo >/dev/null && command -v nbdkit >/dev/null || {
  echo "SKIPPED: nbdkit or nbdinfo is not installed"
  exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
DESTDIR=$dir/root cmake --install "$build" >/dev/null
plugin=$dir/root$plugindir/nbdkit-ovl-plugin.so
find "$dir/root" -name nbdkit-ovl-plugin.1 | grep -q /man1/
find "$dir/root" -name ovl.1 | grep -q /man1/
"$(find "$dir/root" -type f -name ovl -perm -100)" decode --help >/dev/null

mkdir "$dir/tree"
echo hello >"$dir/tree/greeting"
# Prints the first superblock's magic number of the device served by $1.
magic_by() {
  rm -f "$dir/disk"
  nbdkit -U - "$1" lowerdir="$dir/tree" \
    --run "nbdcopy \"\$uri\" '$dir/disk'"
  od -An -tx1 -j1080 -N2 "$dir/disk" | tr -d ' '
}
[[ $(nbdkit "$plugin" --dump-plugin) == *name=ovl* ]]
[[ $(magic_by "$plugin") == 53ef ]]

if ((EUID != 0)) || ! unshare --mount true 2>/dev/null; then
  echo "not privileged: 'nbdkit ovl' is not tried"
  exit 0
fi
# The installed folder over nbdkit's own, for the time of this command.
export -f magic_by
export dir
unshare --mount bash -euc '
  mount -t overlay overlay -o "lowerdir=$dir/root$0:$0" "$0"
  [[ $(magic_by ovl) == 53ef ]]' "$plugindir"
