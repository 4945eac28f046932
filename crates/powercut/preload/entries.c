/* Directory entries: what each name was bound to at the last fsync of its folder.
 *
 * A folder is a map from name to file. Creating, removing and renaming change one or two of its
 * entries; a record says what an entry was before (nothing, a file by its keepsake, an empty folder).
 * Only an fsync of the folder itself makes its entries durable: an fsync of the file does not, as POSIX
 * has it. Several file systems are kinder, and so is this when told to be. */
#include "journal.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

enum old_binding { OLD_NOTHING, OLD_FILE, OLD_FOLDER };

/* Layout known to src/journal.rs; folder (relative) and name follow, padded to 8. */
struct entry_record {
  uint32_t bytes;
  uint32_t live;
  uint32_t old;
  uint32_t mode;
  uint64_t keepsake;
  uint32_t dir_bytes;
  uint32_t name_bytes;
};

static struct log *entries;

static struct log *entries_log(void) {
  char path[PATH_MAX];
  if (!entries) entries = log_map(journal_path(path, "entries", 0), true);
  return entries;
}

static void record(const struct place *place, enum old_binding old, uint32_t mode, uint64_t keepsake) {
  int saved = errno;
  const char *dir = data_relative(place->dir);
  size_t dir_bytes = strlen(dir), name_bytes = strlen(place->name);
  size_t bytes = (sizeof(struct entry_record) + dir_bytes + name_bytes + 7) / 8 * 8;
  struct entry_record *entry = log_reserve(entries_log(), bytes);
  *entry = (struct entry_record){(uint32_t)bytes, 1, old, mode, keepsake, (uint32_t)dir_bytes, (uint32_t)name_bytes};
  memcpy(entry + 1, dir, dir_bytes);
  memcpy((char *)(entry + 1) + dir_bytes, place->name, name_bytes);
  log_commit(entries, bytes);
  errno = saved;
}

void entry_before_create(const struct place *place) { record(place, OLD_NOTHING, 0, 0); }

/* The name is about to be removed or taken by another file. */
void entry_before_loss(const struct place *place, const struct stat *st) {
  if (S_ISDIR(st->st_mode)) {
    record(place, OLD_FOLDER, st->st_mode & 07777, 0);
    return;
  }
  int saved = errno;
  char path[PATH_MAX];
  uint64_t keepsake = journal_next_keepsake();
  if (syscall(SYS_linkat, AT_FDCWD, place->full, AT_FDCWD, journal_path(path, "k-", keepsake), 0) == 0)
    record(place, OLD_FILE, 0, keepsake);
  else
    journal_unsupported("a data file cannot be linked into the journal");
  errno = saved;
}

uint64_t entries_mark(void) { return log_position(entries_log()); }

static void drop_keepsake(uint64_t keepsake) {
  char path[PATH_MAX];
  struct stat st;
  journal_path(path, "k-", keepsake);
  if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1) content_retire(st.st_ino);
  syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static bool is_of(const struct entry_record *entry, const char *folder, size_t folder_bytes, const char *name) {
  const char *text = (const char *)(entry + 1);
  if (entry->dir_bytes != folder_bytes || memcmp(text, folder, folder_bytes) != 0) return false;
  return !name || (entry->name_bytes == strlen(name) && memcmp(text + folder_bytes, name, entry->name_bytes) == 0);
}

/* Forgets the records of one folder (canonical path), or of one name in it, up to the mark. */
void entries_forget(const char *dir, const char *name, uint64_t mark) {
  struct log *log = entries_log();
  const char *folder = data_relative(dir);
  size_t folder_bytes = strlen(folder);
  uint64_t end = mark - log->base, at = log->start, first_live = 0;
  if (mark <= log->base + log->start || mark > log_position(log)) return;
  while (at < log->tail) {
    struct entry_record *entry = (void *)((char *)log + at);
    if (at < end && entry->live && is_of(entry, folder, folder_bytes, name)) {
      *(volatile uint32_t *)&entry->live = 0;
      if (entry->old == OLD_FILE) drop_keepsake(entry->keepsake);
    }
    if (entry->live && !first_live) first_live = at;
    at += entry->bytes;
  }
  log_drop_to(log, first_live ? first_live : (uint64_t)log->tail);
}

/* What an fsync of a file does to its name on ext4, XFS and Btrfs. */
void entries_forget_file(int fd, uint64_t mark) {
  char path[PATH_MAX];
  if (!data_fd_path(fd, path) || !data_contains(path)) return;
  char *slash = strrchr(path, '/');
  *slash = 0;
  entries_forget(path, slash + 1, mark);
}
