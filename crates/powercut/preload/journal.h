/* The undo journal: what the preload library remembers of changes that no fsync has made durable.
 *
 * One folder outside the data folder, shared by every process that works on the data folder:
 *   control    one page: the lock, the next keepsake number
 *   alive      held with a shared flock by every process that may still write
 *   entries    log of directory entries: what a name was bound to before
 *   i-<inode>  log of one file's content: old bytes, old length
 *   k-<n>      keepsake: a hard link to a file that lost a name, so that the name can be given back
 *   unsupported  first change that the journal cannot undo, in words
 *
 * Invariant: a record is in the log, complete, before the change it undoes is made. The logs are shared
 * mappings, so what a killed process stored in them stays, and `tail` is stored last, so a half-written
 * record does not exist.
 */
#ifndef SKEIN_POWERCUT_JOURNAL_H
#define SKEIN_POWERCUT_JOURNAL_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Sparse. A log that would pass it stops the process: silently forgetting would be worse. */
#define LOG_CAPACITY (1ull << 30)
#define NO_FLOOR UINT64_MAX

/* Layout known to src/journal.rs. Records lie at [start, tail); start > tail means none. */
struct log {
  uint64_t magic;
  uint64_t retired;         /* its file is gone for good: look the log up again */
  uint64_t base;            /* what resets have added: base + tail only grows */
  _Atomic uint64_t start;
  _Atomic uint64_t tail;
  uint64_t floor;           /* content only: undoing restores every byte from here on anyway */
  uint64_t spare[2];
};

/* Where a name lives: canonical folder, last component. */
struct place {
  char dir[PATH_MAX];
  char name[NAME_MAX + 1];
  char full[PATH_MAX + NAME_MAX + 2];
};

enum follow { FOLLOW_LAST, KEEP_LAST };

/* journal.c: the folder and its lock. */
void journal_start(const char *folder);
/* From here on changes are remembered. */
void journal_activate(void);
bool journal_active(void);
void journal_lock(void);
void journal_unlock(void);
void journal_unsupported(const char *what);
void journal_fatal(const char *what) __attribute__((noreturn));
const char *journal_path(char out[PATH_MAX], const char *kind, uint64_t number);
uint64_t journal_next_keepsake(void);

/* data.c: which paths belong to the data folder. */
void data_start(const char *folder);
bool data_contains(const char *canonical);
const char *data_relative(const char *canonical);
bool data_place(int dirfd, const char *path, enum follow follow, struct place *place);
bool data_fd_path(int fd, char out[PATH_MAX]);
dev_t data_device(void);

/* log.c */
struct log *log_map(const char *path, bool create);
void log_unmap(struct log *log);
void *log_reserve(struct log *log, uint64_t bytes);
void log_commit(struct log *log, uint64_t bytes);
uint64_t log_position(const struct log *log);
void log_drop_to(struct log *log, uint64_t offset);

/* content.c: files' bytes and lengths. Everything but content_tracked wants the lock. */
bool content_tracked(int fd, struct stat *st);
void content_opened(const struct stat *st, const struct place *place, bool created);
void content_before_write(int fd, uint64_t offset, uint64_t length);
void content_before_resize(int fd, uint64_t size);
uint64_t content_mark(ino_t inode);
void content_forget(ino_t inode, uint64_t mark);
void content_retire(ino_t inode);

/* entries.c: names. All want the lock. */
void entry_before_create(const struct place *place);
void entry_before_loss(const struct place *place, const struct stat *st);
uint64_t entries_mark(void);
void entries_forget(const char *dir, const char *name, uint64_t mark);
void entries_forget_file(int fd, uint64_t mark);

#endif
