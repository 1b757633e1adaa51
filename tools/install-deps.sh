#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Installs what building and testing need, from Debian 12's own packages.
# Quick and without apt when all of it is there.
#
#   tools/install-deps.sh               what the build and all the tests need
#   tools/install-deps.sh --build-only  what `-DOVL_BUILD_TESTS=OFF` needs
#
# Only root can install. Another user is told what is missing: that is an
# error (status 1) for what the build cannot do without, and a warning for
# what only some tests and checks use; those are then skipped.
set -euo pipefail

build=(
  g++ cmake ninja-build pkg-config
  nbdkit-plugin-dev libext2fs-dev comerr-dev
  libexpected-dev libfmt-dev libxxhash-dev nlohmann-json3-dev libcli11-dev
  perl                                   # pod2man makes the man page
)
test_build=(libgtest-dev libgmock-dev libbenchmark-dev libnbd-dev)
test_run=(
  nbdkit libnbd-bin fuse3                # serve the device, mount it
  e2fsprogs fuse2fs mount util-linux     # e2fsck, debugfs, losetup
  attr acl python3 python3-libnbd procps valgrind
  xfsprogs btrfs-progs strace            # uppers on them; traces
  grub-common 7zip                       # ext2 drivers of other people
  qemu-system-x86 busybox-static         # a virtual machine as guest; its
  nbd-client qemu-utils                  # kernel is downloaded by the tests
  clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14
  ccache git
)

wanted=("${build[@]}")
case "${1-}" in
  '') wanted+=("${test_build[@]}" "${test_run[@]}") ;;
  --build-only) test_build=() test_run=() ;;
  *) echo "usage: $0 [--build-only]" >&2; exit 2 ;;
esac

# Prints those of its arguments that are not installed.
missing_of() {
  (($#)) || return 0
  local installed
  installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' "$@" \
    2>/dev/null | sed -n 's/^.i  *//p') || true
  comm -23 <(printf '%s\n' "$@" | sort -u) <(sort -u <<<"$installed")
}

if ! command -v dpkg-query >/dev/null; then
  echo "install-deps: not a Debian system; it must provide what these" \
    "packages of Debian 12 do: ${wanted[*]}" >&2
  exit 0
fi

mapfile -t missing < <(missing_of "${wanted[@]}")
((${#missing[@]})) || exit 0

if ((EUID != 0)); then
  echo "install-deps: not installed: ${missing[*]}" >&2
  echo "install-deps: run as root: apt-get install ${missing[*]}" >&2
  [[ -z $(missing_of "${build[@]}" "${test_build[@]}") ]]
  exit
fi

echo "install-deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"
