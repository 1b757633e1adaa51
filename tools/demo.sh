#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Shows the whole way of ovl on this machine's own /usr: installs what is
# needed, builds, serves /usr under a small layer of changes as a disk, mounts
# it, changes files in it, stops, shows what came to be in the upper
# directory, and compares the tree that the guest last saw with what the
# kernel's overlay shows for the same layers.
#
#   tools/demo.sh                everything; as root the way without root, too
#   tools/demo.sh --rootless     only the way without root: libext2fs over NBD
#                                in place of a mount, ovl's own reader of
#                                layers in place of the kernel's overlay
#   tools/demo.sh --lower DIR    another tree than /usr (it needs a few of the
#                                files of Debian's base-files and bash)
#
# Environment: OVL_BUILD_DIR, a build to use in place of installing and
# building; OVL_DEMO_DIR, where to work (default: a fresh directory in
# /var/tmp, removed at the end).
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
lower=/usr
rootless=$((EUID != 0))
while (($#)); do
  case "$1" in
    --rootless) rootless=1 ;;
    --lower) lower=$(realpath "$2"); shift ;;
    *) sed -n '3,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

step() { printf '\n== %s\n' "$*"; }
show() { printf '   $ %s\n' "$*"; "$@" | sed 's/^/   /'; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }
seconds() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN{printf "%.1f", b-a}'; }

# --- set-up ---------------------------------------------------------------

set_up() {
  build=${OVL_BUILD_DIR:-}
  if [[ -z $build ]]; then
    build=$repo/build
    step "Installing what is needed"
    "$repo/tools/install-deps.sh"
    step "Building $build/ovl.so"
    (cd "$repo" && cmake --preset default >/dev/null &&
      cmake --build --preset default --target ovl_plugin treedump nbd_guest)
  fi
  treedump=$build/tests/treedump
  nbd_guest=$build/tests/nbd_guest
}

make_places() {
  if [[ -n ${OVL_DEMO_DIR:-} ]]; then
    place=$(mktemp -d -p "$OVL_DEMO_DIR" ovl-demo.XXXXXX)
  else
    place=$(mktemp -d -p /var/tmp ovl-demo.XXXXXX)
  fi
  trap clean_up EXIT
  cd "$place"
  mkdir changes U W nbd mnt
}

clean_up() {
  local status=$?
  set +e
  cd /
  mountpoint -q "$place/mnt" && umount "$place/mnt"
  [[ -n ${loop:-} ]] && losetup -d "$loop"
  mountpoint -q "$place/nbd" && umount "$place/nbd"
  [[ -n ${nbdkit:-} ]] && kill "$nbdkit" && wait "$nbdkit"
  rm -rf --one-file-system "$place"
  ((status == 0)) || printf '\nFAIL: the demo ended early\n'
}

# --- the layer between: a few changes over the lower ------------------------

# $1: the prefix of overlay's attributes, trusted or user.
make_changes() {
  step "A layer 'changes' over $lower: a changed and a new file, a whiteout," \
    "an opaque directory"
  local name
  for name in lib/os-release share/common-licenses/GPL-2 share/base-files \
    share/doc/bash/copyright bin/env; do
    [[ -e $lower/$name ]] || die "$lower has no $name; see --lower"
  done
  mkdir -p changes/{lib,local-additions,share/{common-licenses,base-files}}
  { cat "$lower/lib/os-release"; echo 'VARIANT="golden"'; } \
    >changes/lib/os-release
  echo "hello from the layer" >changes/local-additions/hello
  mknod changes/share/common-licenses/GPL-2 c 0 0
  setfattr -n "$1.overlay.opaque" -v y changes/share/base-files
  echo "nothing else here" >changes/share/base-files/README
  list_layer changes "$1"
}

# A layer as plain files, with what overlayfs means by some of them.
list_layer() {
  local path type note
  find "$1" -mindepth 1 -printf '%y %P\n' | sort -k2 | head -n 40 |
    while read -r type path; do
      note=
      [[ $type == c && $(stat -c %t:%T "$1/$path") == 0:0 ]] &&
        note="   <- whiteout"
      [[ $type == d ]] && note=$(overlay_notes "$1/$path" "$2")
      printf '   %s /%s%s\n' "$type" "$path" "$note"
    done
}

overlay_notes() {
  getfattr --absolute-names -h -d -m "^$2\\.overlay\\." "$1" 2>/dev/null |
    sed -n 's/^[a-z]*\.overlay\.\(opaque\|redirect\)=\(.*\)/   <- \1 \2/p'
}

# --- serving ----------------------------------------------------------------

# Parameters of the plugin beyond the layers.
start_nbdkit() {
  step "nbdkit ovl.so lowerdir=changes:$lower upperdir=U workdir=W $*"
  local start
  start=$(date +%s.%N)
  nbdkit -f -U "$place/sock" -P "$place/pid" "$build/ovl.so" \
    lowerdir="changes:${lower//:/\\:}" upperdir=U workdir=W "$@" &
  nbdkit=$!
  while [[ ! -e pid ]]; do
    kill -0 "$nbdkit" 2>/dev/null || die "nbdkit did not start"
    sleep 0.05
  done
  echo "   ready after $(seconds "$start") s," \
    "$(awk '/VmHWM/ {printf "%d MiB", $2 / 1024}' "/proc/$nbdkit/status")" \
    "of memory; no file data was copied: $(du -sh W | cut -f1) in W"
}

stop_nbdkit() {
  step "Stopping nbdkit: it writes the changes to U"
  local start status=0
  start=$(date +%s.%N)
  kill "$nbdkit"
  wait "$nbdkit" || status=$?
  nbdkit=
  ((status == 0)) || die "nbdkit: exit status $status"
  echo "   exited after $(seconds "$start") s"
}

compare() {
  step "Comparing $1 with $2, completely: names, types, modes, owners, times," \
    "attributes, links, content"
  if ! diff "$1" "$2" >difference; then
    head -n 20 difference
    die "$(grep -c '^[<>]' difference) lines differ"
  fi
  echo "   $(wc -l <"$1") objects, no difference"
}

# --- the way with root ------------------------------------------------------

mount_device() {
  step "nbdfuse makes it a file, losetup a block device, mount a file system"
  nbdfuse nbd --unix "$place/sock" &
  while [[ ! -e nbd/nbd ]]; do
    kill -0 $! 2>/dev/null || die "nbdfuse did not start"
    sleep 0.05
  done
  loop=$(losetup -f --show nbd/nbd)
  mount -t ext4 "$loop" mnt
  show df -hT mnt
}

unmount_device() {
  step "Unmounting"
  umount mnt
  losetup -d "$loop"
  loop=
  local attempt
  for attempt in {1..100}; do
    umount nbd 2>/dev/null && break
    ((attempt < 100)) || die "nbdfuse is busy"
    sleep 0.1
  done
}

look_around() {
  step "The guest sees the merged tree"
  show tail -n 1 mnt/lib/os-release
  show ls mnt/share/base-files mnt/local-additions
  [[ ! -e mnt/share/common-licenses/GPL-2 ]] || die "GPL-2 is not hidden"
  echo "   share/common-licenses/GPL-2 is hidden by the whiteout"
  cmp mnt/bin/env "$lower/bin/env"
  echo "   bin/env has the bytes of $lower/bin/env"
}

change_things() {
  step "The guest creates, edits, renames, links and deletes"
  set -x
  mkdir -p mnt/srv/www
  echo "written in the guest" >mnt/srv/www/index.html
  head -c 3000000 /dev/urandom >mnt/srv/www/data
  echo 'EDITED="yes"' >>mnt/lib/os-release
  sed -i 's/GNU/GNU (edited)/' mnt/share/common-licenses/GPL-3
  chmod 700 mnt/local-additions
  chown 1000:1000 mnt/local-additions/hello
  touch -d 2001-02-03T04:05:06.789 mnt/bin/env
  setfattr -n user.origin -v guest mnt/srv/www/index.html
  mv mnt/share/common-licenses/BSD mnt/share/common-licenses/BSD.renamed
  mv mnt/share/doc mnt/share/documents
  mv mnt/share/documents/bash mnt/srv/bash-docs
  ln mnt/share/common-licenses/GPL-3 mnt/srv/license
  ln -s ../bin/env mnt/srv/env
  rm mnt/share/common-licenses/Artistic
  rm -r mnt/share/base-files
  rm -r mnt/share/documents/base-files
  mkdir mnt/share/documents/base-files
  echo "rebuilt" >mnt/share/documents/base-files/README
  { set +x; } 2>/dev/null
}

overlay_mount() {
  step "mount -t overlay -o lowerdir=changes:$lower,upperdir=U,workdir=W"
  mount -t overlay overlay mnt -o \
    "ro,redirect_dir=on,lowerdir=changes:${lower//:/\\:},upperdir=U,workdir=W"
}

dump_mount() {
  "$treedump" dir mnt --exclude lost+found >"$1"
}

demo_with_root() {
  make_places
  make_changes trusted
  start_nbdkit size=+4G
  mount_device
  look_around
  change_things
  step "What the guest last sees, in full (this reads every file)"
  dump_mount guest
  echo "   $(wc -l <guest) objects"
  unmount_device
  stop_nbdkit
  step "The upper directory now"
  list_layer U trusted
  overlay_mount
  dump_mount kernel-overlay
  compare guest kernel-overlay
  umount mnt
  clean_up
  trap - EXIT
}

# --- the way without root ---------------------------------------------------

# Without root, what this user cannot read is hidden: a layer can do that.
hide_unreadable() {
  local path
  find "$lower" -mindepth 1 \
    \( -type d \( ! -readable -o ! -executable \) -o -type f ! -readable \) \
    -prune -printf '%P\n' 2>/dev/null >unreadable || true
  [[ -s unreadable ]] || return 0
  step "Hiding $(wc -l <unreadable) things that this user cannot read," \
    "by whiteouts in 'changes'"
  while IFS= read -r path; do
    mkdir -p "changes/$(dirname "$path")"
    mknod "changes/$path" c 0 0
    echo "   /$path"
  done <unreadable
}

main() {
  set_up
  if ((EUID == 0 && !rootless)); then
    demo_with_root
    step "PASS: the guest's tree and the kernel overlay's are the same"
  fi
}

main
