# SPDX-License-Identifier: BSD-3-Clause
"""Cases of conformance.py: files with several names."""
from written_case import Case

CASES = [
    Case("45", "append to one of two names", "printf x >>g", "f g; f g2=g",
         lower="file L1/g a; ln L1/g L1/g2",
         then='is "$(cat g2)" ax'),
    Case("46", "rm of one of two names", "rm g", "w g",
         lower="file L1/g; mkdir L1/d; ln L1/g L1/d/g2"),
    Case("47", "and append to the other", "rm g; printf x >>d/g2",
         "d d; f d/g2; w g", lower="file L1/g a; mkdir L1/d; ln L1/g L1/d/g2",
         then='is "$(cat d/g2)" ax'),
    Case("48", "a new name for a lower file", "ln a b", "f a; f b=a",
         lower="file L1/a"),
    Case("49", "rm of one of upper's names", "rm a", "f b",
         start="file a; ln a b"),
    Case("50", "a new name, the old one gone", "ln a b; rm a", "f b; w a",
         lower="file L1/a"),
    Case("51", "chmod of three names", "chmod 600 b", "f a; f d/c=a; f b=a; "
         "d d", lower="file L1/a; mkdir L1/d; ln L1/a L1/b; ln L1/a L1/d/c",
         then='is "$(stat -c %a d/c)" 600'),
    Case("also", "names of upper in two directories", "ln a d/c; rm b",
         "d d; f a; f d/c=a", start="file a; ln a b", lower="mkdir L1/d"),
    Case("also", "a lower's name becomes one of another file",
         "ln -f a b", "f a; f b=a", lower="file L1/a; file L1/b"),
    Case("also", "a link of a symlink", "ln -P s t", "l s; l t=s",
         lower="ln -s target L1/s"),
    Case("also", "a link broken by its guest", "cp g t; mv t g2", "f g2",
         lower="file L1/g; ln L1/g L1/g2"),
]
