# SPDX-License-Identifier: BSD-3-Clause
"""Cases of conformance.py: what is created, and attributes that change."""
from written_case import Case

CAPABILITY = "0x0100000200200000000000000000000000000000"

CASES = [
    Case("1", "create", "file f", "f f"),
    Case("2", "create in a lower directory", "file d/n; touch -d @77 d",
         "d d; f d/n", lower="mkdir -m 750 L1/d; chown 3:4 L1/d",
         then='is "$(stat -c "%a %u %g %Y" d)" "750 3 4 77"'),
    # The kernel marks it only with redirect_dir=on and the like; we always do,
    # where the parent has a lower part.
    Case("3", "mkdir", "mkdir n", "d n opaque"),
    Case("4", "mkdir in a new directory", "mkdir n; mkdir n/m",
         "d n opaque; d n/m"),
    Case("5", "chmod", "chmod 700 f", "f f",
         lower="file L1/f; touch -d @1000 L1/f",
         then='is "$(stat -c "%a %Y" f) $(cat f)" "700 1000 data of L1/f"'),
    # A change of owner clears these bits, in the guest.
    Case("6", "chown", "chown 5:6 f", "f f",
         lower="file L1/f; chmod 4755 L1/f",
         then='is "$(stat -c "%a %u %g" f)" "755 5 6"'),
    Case("6b", "chown, and the bits again", "chown 5:6 f; chmod 6711 f", "f f",
         lower="file L1/f; chmod 4755 L1/f",
         then='is "$(stat -c "%a %u %g" f)" "6711 5 6"'),
    Case("7", "chmod keeps a capability", "chmod 755 f", "f f",
         lower="file L1/f; chmod 4755 L1/f; "
               f"setfattr -n security.capability -v {CAPABILITY} L1/f",
         then='is "$(stat -c %a f)" 755; has security.capability f'),
    Case("7b", "a capability that the guest removes",
         "chmod 755 f; setfattr -x security.capability f", "f f",
         lower="file L1/f; chmod 4755 L1/f; "
               f"setfattr -n security.capability -v {CAPABILITY} L1/f",
         then="lacks security.capability f"),
    Case("7c", "one that the guest sets, with setuid",
         "chown 5:6 f; chmod 4755 f; "
         f"setfattr -n security.capability -v {CAPABILITY} f", "f f",
         lower="file L1/f",
         then='is "$(stat -c "%a %u" f)" "4755 5"; '
              'has security.capability f'),
    Case("8", "append", "printf more >>f", "f f", lower="file L1/f old,",
         then='is "$(cat f)" old,more'),
    Case("9", "truncate", ": >f", "f f", lower="file L1/f",
         then='is "$(stat -c "%F %s" f)" "regular empty file 0"'),
    Case("10", "touch a sparse file", "touch f", "f f",
         lower="truncate -s 100M L1/f",
         then='is "$(stat -c %s f)" 104857600; test $(stat -c %b f) -lt 100'),
    Case("11", "times",
         "touch -d '1969-01-02 03:04:05.678901234 UTC' f", "f f",
         lower="file L1/f", then='is "$(stat -c %y f)" '
         '"1969-01-02 03:04:05.678901234 +0000"'),
    Case("12", "owner of a symlink", "chown -h 7:8 s", "l s",
         lower="ln -s target L1/s",
         then='is "$(stat -c "%u %g" s) $(readlink s)" "7 8 target"'),
    Case("13", "special files", "chmod 640 p s c b", "b b; c c; p p; s s",
         lower="mkfifo L1/p; sock L1/s; mknod L1/c c 1 3; "
               "mknod L1/b b 300 70000",
         then='is "$(stat -c "%a %t:%T" c)" "640 1:3"; '
              'is "$(stat -c "%a %t:%T" b)" "640 12c:11170"; '
              'is "$(stat -c %a p)$(stat -c %a s)" 640640'),
    Case("14", "chmod of a directory", "chmod 700 d", "d d",
         lower="file L1/d/x", then='is "$(stat -c %a d)" 700'),
    Case("15", "a default ACL", "file d/n; mkdir d/m", "d d; d d/m opaque; "
         "f d/n", lower="mkdir L1/d; chown 0:9 L1/d; chmod 2775 L1/d; "
                        "setfacl -d -m u:7:rwx L1/d",
         then='getfacl -cn d/n | grep -q user:7:rwx; '
              'is "$(stat -c %g d/n) $(stat -c "%a %g" d/m)" "9 2775 9"; '
              'getfacl -cn d/m | grep -q default:user:7:rwx'),
    Case("16", "no ACL where a default ACL is", "file d/n; setfacl -b d/n",
         "d d opaque; f d/n", start="mkdir d; setfacl -d -m u:7:rwx d",
         filled="d d; f d/n",
         then="lacks system.posix_acl_access d/n; "
              "has system.posix_acl_default d"),
    Case("16b", "ACLs of lower files change",
         "setfacl -m u:8:r f; setfacl -b g; chmod 600 h; setfacl -k d; "
         "file n; setfacl -m u:9:rwx n; chmod 604 n; setfacl -b f",
         "d d; f f; f g; f h; f n",
         lower="for f in f g h; do file L1/$f; setfacl -m u:7:rwx L1/$f; done; "
               "mkdir L1/d; setfacl -d -m u:7:rwx L1/d",
         then="for f in f g; do lacks system.posix_acl_access $f; done; "
              "lacks system.posix_acl_default d; "
              "getfacl -cn h | grep -q user:7:rwx; "
              "getfacl -cn n | grep -q user:9:rwx; "
              'is "$(stat -c %a h) $(stat -c %a n)" "600 604"'),
    Case("17", "set an attribute", "setfattr -n user.a -v 2 f", "f f",
         lower="file L1/f; setfattr -n user.k -v 1 L1/f; "
               "setfattr -n trusted.t -v 1 L1/f",
         then="has user.a f; has user.k f; has trusted.t f"),
    Case("18", "remove an attribute", "setfattr -x user.k f", "f f",
         lower="file L1/f; setfattr -n user.k -v 1 L1/f; "
               "setfattr -n user.l -v 1 L1/f",
         then="lacks user.k f; has user.l f"),
    Case("19", "an overlay attribute of the guest's",
         "setfattr -n trusted.overlay.opaque -v y d",
         "d d trusted.overlay.overlay.opaque", lower="file L1/d/x"),
    Case("20", "an escaped attribute stays",
         "has trusted.overlay.x f; chmod 600 f",
         "f f trusted.overlay.overlay.x", lower="file L1/f; "
         "setfattr -n trusted.overlay.overlay.x -v 1 L1/f"),
    Case("21", "a private attribute is dropped",
         "lacks trusted.overlay.junk f; chmod 600 f", "f f",
         lower="file L1/f; setfattr -n trusted.overlay.junk -v 1 L1/f"),
    Case("22", "the other family is ordinary",
         "has user.overlay.foo f; chmod 600 f", "f f",
         lower="file L1/f; setfattr -n user.overlay.foo -v 1 L1/f",
         then="has user.overlay.foo f"),
    Case("23", "an immutable file", "chattr +i f", "f f protattr=i",
         lower="file L1/f",
         then="lsattr f | cut -d' ' -f1 | grep -qv '[ia]'"),
    Case("24", "append-only, too", "chattr +ai f; chattr +a d",
         "d d protattr=a; f f protattr=ai", lower="file L1/f; mkdir L1/d"),
    Case("24b", "flags set and cleared",
         "chattr +a f; chattr +i f; chattr -i f; chattr -a f", None,
         lower="file L1/f", kept="f f"),
    Case("24c", "flags of upper cleared", "chattr -ai f", "f f",
         start="file f; setfattr -n trusted.overlay.protattr -v ai f",
         by_hand=True),
    Case("24d", "flags set and cleared of what stays in upper",
         "chattr +ai f; chattr -ai f", "f f", start="file f"),
    # As documented: of inode flags only these two reach upper.
    Case("25", "other flags stay below", "chmod 600 f", "f f",
         lower="file L1/f; chattr +AS L1/f",
         then="lsattr f | cut -d' ' -f1 | grep -qv '[AS]'"),
    Case("26", "only an access time", "touch -a f; touch -a d", None,
         lower="file L1/f; file L1/d/x"),
    Case("28", "mkdir and rmdir", "mkdir n; rmdir n; touch -d @5 .", None,
         lower="touch -d @5 L1", kept=""),
]
