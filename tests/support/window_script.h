// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest does before a checkpoint, and while it runs.
#pragma once

#include <string>

#include "tests/support/checkpoint_story.h"
#include "tests/support/journaled_guest.h"

namespace ovl {

inline constexpr uint64_t kWideBlocks = 40;  // of a file that a layer has

inline Status fill_blocks(GuestFs& fs, const std::string& path, uint64_t first,
                          uint64_t count, char letter) {
  if (!fs.lookup(path))
    OVL_TRY(fs.make_node(path, S_IFREG | 0644));
  return fs.write(path, first * kBlockSize,
                  story_bytes(std::string(count * kBlockSize, letter)));
}

inline Status fill_block_of(GuestFs& fs, Ino ino, uint64_t number,
                            char letter) {
  blk64_t block = 0;
  OVL_TRY(ext2_status(ext2fs_bmap2(fs.fs(), to_int(ino), nullptr, nullptr, 0,
                                   number, nullptr, &block),
                      "block of a file"));
  const std::string text(kBlockSize, letter);
  return ext2_status(io_channel_write_blk64(fs.fs()->io, block, 1, text.data()),
                     "write");
}

inline Status make_known(GuestFs& fs) {
  OVL_TRY(fill_blocks(fs, "held", 0, 6, 'h'));
  return fill_blocks(fs, "known", 0, 20, 'k');
}
/// What the first checkpoint brings to upper.
inline Status before_window(JournaledGuest& guest) {
  OVL_TRY(guest.work(first_work));
  return guest.work(make_known);
}

inline Status make_and_change(GuestFs& fs) {
  OVL_TRY(fill_blocks(fs, "new", 0, 20, 'n'));
  OVL_TRY(fill_blocks(fs, "wide", 2, 2, 'w'));
  OVL_TRY(fill_blocks(fs, "known", 8, 3, '\0'));
  OVL_TRY(fs.unlink_in_use("held"));
  return fill_blocks(fs, "known", 3, 2, 'K');
}
/// What the checkpoint at work is of: files that are new, and patched, and
/// copied up; one has lost its name and is open in the guest; part of the
/// metadata is in the journal only.
inline Status into_window(JournaledGuest& guest) {
  OVL_TRY(guest.work(second_work));
  guest.write_home();
  return guest.work(make_and_change);
}

inline Status touch(GuestFs& fs) {
  return fs.set_mtime("known", {77, 5});
}

// By a program that has it open.
inline Status overwrite_held(GuestFs& fs) {
  const Ino ino{fs.fs()->super->s_last_orphan};
  return fill_block_of(fs, ino, 2, '5');
}

// And closes it, which frees it: by a name that it never had.
inline Status close_held(GuestFs& fs) {
  const Ino ino{fs.fs()->super->s_last_orphan};
  GuestInode inode = OVL_TRY(fs.read_inode(ino));
  fs.fs()->super->s_last_orphan = inode.fields.i_dtime;
  inode.fields.i_dtime = 0;
  inode.fields.i_links_count = 1;
  OVL_TRY(fs.write_inode(ino, inode));
  OVL_TRY(ext2_status(ext2fs_link(fs.fs(), EXT2_ROOT_INO, "held", to_int(ino),
                                  EXT2_FT_REG_FILE),
                      "link"));
  return fs.unlink("held");
}

inline Status overwrite(GuestFs& fs) {
  OVL_TRY(overwrite_held(fs));
  OVL_TRY(fill_blocks(fs, "new", 0, 20, '1'));
  OVL_TRY(fill_blocks(fs, "wide", 4, kWideBlocks - 4, '2'));
  OVL_TRY(fill_blocks(fs, "known", 4, 1, '3'));
  OVL_TRY(fill_blocks(fs, "known", 9, 2, 'z'));
  OVL_TRY(fill_blocks(fs, "new", 7, 2, '\0'));
  OVL_TRY(fill_blocks(fs, "known", 12, 4, '\0'));
  return fs.write("made/file", 4000, story_bytes(std::string(3000, '4')));
}
/// Bytes of what is being staged, patched and handed over.
inline Status overwrite_in_window(JournaledGuest& guest) {
  return guest.work(overwrite);
}

inline Status shorten_move_and_remove(GuestFs& fs) {
  OVL_TRY(fs.truncate("new", 3 * kBlockSize + 5));
  OVL_TRY(fs.truncate("wide", 20 * kBlockSize));
  OVL_TRY(fs.rename("wide", "made/wider"));
  return fs.unlink("known");
}
inline Status use_again(GuestFs& fs) {
  OVL_TRY(fill_blocks(fs, "again", 0, 45, 'a'));
  return fs.mkdir("also", 0755);
}
inline Status put_in_its_place(GuestFs& fs) {
  OVL_TRY(fs.punch("again", 3, 5));
  OVL_TRY(fs.rename("again", "new"));
  return fs.rmdir("also");
}
/// The same files shorter, elsewhere, gone; and their blocks another's.
inline Status replace_in_window(JournaledGuest& guest) {
  OVL_TRY(guest.work(shorten_move_and_remove));
  OVL_TRY(guest.work(use_again));
  guest.write_home();
  return guest.work(put_in_its_place);
}

inline Status move_away(GuestFs& fs) {
  OVL_TRY(fs.rename("moved", "d/elsewhere"));
  OVL_TRY(fs.make_node("made/here/more", S_IFREG | 0600));
  OVL_TRY(fs.unlink("linked"));
  OVL_TRY(fs.chmod("plain", 0711));
  return fs.rename("new", "made/new");
}
inline Status move_back(GuestFs& fs) {
  OVL_TRY(fs.rename("made/here", "a"));
  OVL_TRY(fs.rename("made/new", "b/new"));
  OVL_TRY(fs.remove_tree("made"));
  return fs.mkdir("made", 0700);
}
/// Names and attributes of what is being published.
inline Status rename_in_window(JournaledGuest& guest) {
  OVL_TRY(guest.work(move_away));
  return guest.work(move_back);
}

inline Status hold_another(GuestFs& fs) {
  return fs.unlink_in_use("known");
}
/// No file is open then, the journal is empty, and what comes is another mount.
inline Status remount_in_window(JournaledGuest& guest) {
  OVL_TRY(guest.work(close_held));
  guest.unmount();
  guest.mount_again();
  OVL_TRY(guest.work(touch));
  return guest.work(hold_another);
}

inline Status write_much(GuestFs& fs) {
  OVL_TRY(fill_blocks(fs, "far", 0, 60, 'f'));
  return fill_blocks(fs, "wide", 20, 20, 'F');
}
inline Status write_over(GuestFs& fs) {
  OVL_TRY(fill_blocks(fs, "far", 30, 2, 'g'));
  return fs.truncate("far", 50 * kBlockSize);
}
/// Much at once, which goes to the store without the log.
inline Status place_in_window(JournaledGuest& guest) {
  OVL_TRY(guest.work(write_much));
  return guest.work(write_over);
}

}  // namespace ovl
