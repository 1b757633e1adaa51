#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds everything by a preset of CMakePresets.json, warnings being errors,
# and runs the unit tests of that build: in tsan those that have threads. Preset
# asan compiles with clang++, so that it checks the thread-safety annotations
# too. $1: the preset.
set -euo pipefail

if [[ $1 == asan ]] && ! command -v clang++-14 >/dev/null; then
  echo "SKIPPED: clang-14 is not installed"
  exit 77
fi
# A build of its own: not a part of the make or ctest that runs this.
unset MAKEFLAGS CTEST_PARALLEL_LEVEL CTEST_OUTPUT_ON_FAILURE
# A small sample of the crash sweeps, and fewer steps of the model.
export OVL_CRASH_STRIDE=9
export OVL_MODEL_STEPS=1100
cmake --preset "$1"
cmake --build --preset "$1"
ctest --preset "$1" -j "$(nproc)"
