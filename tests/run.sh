#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Sets up, builds and runs the tests; the exit status is ctest's and the last
# lines are its summary, in which tests that were skipped are named, and, when
# some failed, the end of what each of these printed.
#
#   tests/run.sh                    everything: unit tests, tests on mounted
#                                   devices (root), clang-format, clang-tidy,
#                                   the sanitizer builds
#   tests/run.sh --quick            the build and the unit tests
#   tests/run.sh ... [CTEST_ARGS]   hands the rest to ctest, e.g. -R Layout
#
# Crash sweeps take every other case, from another one on each time;
# OVL_CRASH_STRIDE=1 takes all.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=(-DOVL_CHECK_BUILDS=ON)
select=()
if [[ ${1-} == --quick ]]; then
  shift
  suite=(-DOVL_CHECK_BUILDS=OFF)
  select=(-L '^unit$')
fi

export OVL_CRASH_STRIDE="${OVL_CRASH_STRIDE:-2}"
tools/install-deps.sh
# Another clone of the same code finds what this one compiled.
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
  export CCACHE_BASEDIR="${CCACHE_BASEDIR:-$PWD}" CCACHE_NOHASHDIR=1
fi
echo "== configure and build"
cmake --preset default "${suite[@]}"
cmake --build --preset default

((EUID == 0)) || echo "== not root: the tests that mount are skipped"
status=0
ctest --test-dir build --output-on-failure --no-tests=error \
  -j "$(($(nproc) + 1))" "${select[@]}" "$@" || status=$?
# The summary names a sanitizer's build only; what failed in it is far above.
((status == 0)) || awk '
  / Testing: /    { name = $3; lines = 0 }
                  { line[lines++] = $0 }
  /^Test Failed/  { print "== " name " ended with"
                    for (i = lines > 20 ? lines - 20 : 0; i < lines - 3; ++i)
                      print line[i] }
' build/Testing/Temporary/LastTest.log
exit "$status"
