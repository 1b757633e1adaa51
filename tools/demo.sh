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

# A mount namespace of its own: a copy of our mounts in somebody else's, made
# while they are there, would keep the disk busy long after we unmount it.
if ((EUID == 0)) && [[ -z ${OVL_DEMO_NAMESPACE:-} ]] &&
  unshare -m true 2>/dev/null; then
  export OVL_DEMO_NAMESPACE=1
  exec unshare -m --propagation private "$0" "$@"
fi

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
      cmake --build --preset default --target ovl_plugin ovl treedump nbd_guest)
  fi
  ovl=$build/ovl
  treedump=$build/tests/treedump
  nbd_guest=$build/tests/nbd_guest
}

make_places() {
  if [[ -n ${OVL_DEMO_DIR:-} ]]; then
    place=$(mktemp -d -p "$OVL_DEMO_DIR" ovl-demo.XXXXXX)
  else
    place=$(mktemp -d -p /var/tmp ovl-demo.XXXXXX)
  fi
  trap end_early EXIT
  cd "$place"
  mkdir changes U W nbd mnt
}

end_early() {
  local status=$?
  clean_up
  printf '\nFAIL: the demo ended early\n'
  exit $((status ? status : 1))
}

clean_up() {
  set +e
  cd /
  mountpoint -q "$place/mnt" && umount "$place/mnt"
  [[ -n ${loop:-} ]] && losetup -d "$loop"
  mountpoint -q "$place/nbd" && umount -l "$place/nbd"
  [[ -n ${nbdfuse:-} ]] && kill "$nbdfuse" 2>/dev/null
  [[ -n ${nbdkit:-} ]] && kill "$nbdkit" && wait "$nbdkit"
  rm -rf --one-file-system "$place"
  set -e
  trap - EXIT
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

# $1: a file that the guest has made, $2: when it began to.
watch_upper() {
  step "Upper follows: it has what the guest has committed, every 5 seconds or" \
    "so, while nbdkit serves"
  local attempt
  for attempt in {1..300}; do
    [[ -e U/$1 ]] && break
    kill -0 "$nbdkit" 2>/dev/null || die "nbdkit ended"
    ((attempt < 300)) || die "upper has not got $1 in 30 seconds"
    sleep 0.1
  done
  echo "   U/$1 is there after $(seconds "$2") s:"
  show cat "U/$1"
  show "$ovl" status W
}

# $3: "owners, " where they are compared, too.
compare() {
  step "Comparing $1 with $2, completely: names, types, modes, $3times," \
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
  nbdfuse=$!
  while [[ ! -e nbd/nbd ]]; do
    kill -0 "$nbdfuse" 2>/dev/null || die "nbdfuse did not start"
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
  local changed
  changed=$(date +%s.%N)
  show sync -f mnt
  watch_upper srv/www/index.html "$changed"
  step "What the guest last sees, in full (this reads every file)"
  dump_mount guest
  echo "   $(wc -l <guest) objects"
  unmount_device
  stop_nbdkit
  step "The upper directory now"
  list_layer U trusted
  overlay_mount
  dump_mount kernel-overlay
  compare guest kernel-overlay "owners, "
  umount mnt
  clean_up
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

guest() { "$nbd_guest" "nbd+unix:///?socket=$place/sock" "$@"; }

change_things_rootless() {
  step "The guest, libext2fs over NBD, creates, edits, renames, links and" \
    "deletes"
  head -c 3000000 /dev/urandom >data
  tee script <<END
mkdir srv 0755
mkdir srv/www 0755
write srv/www/index.html written\040in\040the\040guest\012
copy srv/www/data $place/data
append lib/os-release EDITED="yes"\012
pwrite share/common-licenses/GPL-3 100 (edited)
chmod local-additions 0700
utimens bin/env 981173106 789000000
setxattr srv/www/index.html user.origin guest
rename share/common-licenses/BSD share/common-licenses/BSD.renamed
rename share/doc/bash srv/bash-docs
link share/common-licenses/GPL-3 srv/license
symlink ../bin/env srv/env
unlink share/common-licenses/Artistic
rmtree share/base-files
rmtree share/doc/base-files
mkdir share/doc/base-files 0755
write share/doc/base-files/README rebuilt\012
END
  guest <script
}

demo_without_root() {
  step "The way without root, as $(id -un 2>/dev/null || id -u):" \
    "libext2fs over NBD in place of a mount"
  make_places
  hide_unreadable
  make_changes user
  start_nbdkit size=+4G userxattr=yes owner=squash
  local changed
  changed=$(date +%s.%N)
  change_things_rootless
  watch_upper srv/www/index.html "$changed"
  step "What the guest last sees, in full (this reads every file)"
  guest dump --no-owner >guest
  echo "   $(wc -l <guest) objects"
  stop_nbdkit
  step "The upper directory now (a moved directory is copied: mounts with" \
    "userxattr follow no redirects)"
  list_layer U user
  "$treedump" layers changes "$lower" --upper U --userxattr --no-owner \
    >layers-reader
  compare guest layers-reader ""
  clean_up
}

# Runs the way without root as another user, who may not be able to read the
# repository: with copies of what it needs.
demo_as_other_user() {
  step "And without root: as user ${OVL_DEMO_USER:-1000}"
  local copies
  copies=$(mktemp -d -p "${OVL_DEMO_DIR:-/var/tmp}" ovl-demo-tools.XXXXXX)
  mkdir -p "$copies"/{tools,build/tests}
  cp "$repo/tools/demo.sh" "$copies/tools/"
  cp "$build/ovl.so" "$ovl" "$copies/build/"
  cp "$treedump" "$nbd_guest" "$copies/build/tests/"
  chmod -R go=u-w "$copies"
  local status=0
  OVL_BUILD_DIR=$copies/build setpriv --reuid="${OVL_DEMO_USER:-1000}" \
    --regid="${OVL_DEMO_USER:-1000}" --clear-groups \
    "$copies/tools/demo.sh" --rootless --lower "$lower" || status=$?
  rm -rf "$copies"
  return $status
}

main() {
  set_up
  if ((rootless)); then
    demo_without_root
    step "PASS: the guest's tree and the layers' are the same, without root"
    return
  fi
  demo_with_root
  step "PASS: the guest's tree and the kernel overlay's are the same"
  demo_as_other_user
  step "PASS: both ways, on $lower"
}

main
