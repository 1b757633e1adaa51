// SPDX-License-Identifier: BSD-3-Clause
//
// The commands of nbd_guest, one a line: words separated by blanks, with
// `\ooo` (three octal digits) for any byte, as manifests print them; an empty
// word is `''`. A leading slash of a path is ignored.
//
//   mkdir PATH MODE           rmdir PATH           rmtree PATH
//   create PATH MODE          unlink PATH          symlink TARGET PATH
//   mknod PATH c|b|p|s MODE [MAJOR MINOR]
//   link FROM TO              rename FROM TO
//   write PATH TEXT           creates or empties first, then writes
//   copy PATH HOSTFILE        the same with a host file's bytes
//   append PATH TEXT          pwrite PATH OFFSET TEXT
//   truncate PATH SIZE        punch PATH BLOCK BLOCKS
//   chmod PATH MODE           chown PATH UID GID
//   utimens PATH SECONDS NANOSECONDS
//   setxattr PATH NAME VALUE  setxattr-hex PATH NAME HEX
//   rmxattr PATH NAME         chattr PATH =LETTERS    of i, a, A, S
#pragma once

#include <string>
#include <vector>

#include "tests/support/nbd_guest_fs.h"

namespace ovl {

using Words = std::vector<std::string>;

/// EINVAL for a backslash without three octal digits.
Result<Words> split_words(std::string_view line);

/// Does one command. EINVAL when there is no such command with so many words.
Status run_command(GuestFs& fs, const Words& words);

}  // namespace ovl
