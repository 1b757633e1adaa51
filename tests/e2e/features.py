#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What one may expect of an overlay file system, a test for each feature: the
guest's kernel mounts the device, and the host's kernel mounts the layers.
tests/FEATURES.md has the list.

    features.py [FEATURE]...
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import features_behind  # noqa: E402
import features_files  # noqa: E402
import features_host  # noqa: E402
import features_names  # noqa: E402
import ovltest  # noqa: E402
from feature_case import run_stories, stories_of  # noqa: E402

MODULES = (features_host, features_files, features_names, features_behind)


def test(space, chosen):
    table = (ovltest.REPO / "tests" / "FEATURES.md").read_text()
    missing = [story.__name__ for story in stories_of(MODULES)
               if f"`{story.__name__}`" not in table]
    ovltest.check(not missing, f"not in tests/FEATURES.md: {missing}")
    run_stories(space, chosen, MODULES)


if __name__ == "__main__":
    ovltest.main(test, sys.argv[1:])
