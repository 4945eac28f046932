/* Files' content: which files are watched, and what their bytes and lengths were at the last fsync.
 *
 * Invariant: undoing an inode's records backwards gives the content of its last fsync. Per inode this
 * is exact, since an fsync forgets a prefix of its records. Bytes at or above `floor` were not there
 * (or are already kept) and need no record; an fsync lifts the floor before it begins, so that what is
 * written while it runs is kept on its own. */
#include "journal.h"

#include <string.h>
#include <sys/syscall.h>

#define MAPPED_LOGS 256    /* further inodes share slots: slower, never wrong */
#define KNOWN_INODES 4096  /* likewise */

/* Layout known to src/journal.rs; the old bytes follow, padded to 8. */
struct content_record {
  uint64_t offset;
  uint64_t length;
  uint64_t old_size;
};

enum verdict { UNKNOWN, WATCHED, IGNORED };

static struct { ino_t inode; struct log *log; } mapped[MAPPED_LOGS];
static _Atomic uint64_t known[KNOWN_INODES];

static uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* === which files === */

static enum verdict recall(ino_t inode) {
  uint64_t entry = known[inode % KNOWN_INODES];
  return entry >> 2 == inode ? (enum verdict)(entry & 3) : UNKNOWN;
}

static void learn(ino_t inode, enum verdict verdict) { known[inode % KNOWN_INODES] = (uint64_t)inode << 2 | verdict; }

/* SQLite's shared-memory index is mapped, not written, and rebuilt after every crash. */
static bool is_volatile(const char *path) {
  size_t n = strlen(path);
  return n >= 4 && strcmp(path + n - 4, "-shm") == 0;
}

static enum verdict judge(int fd) {
  static const char gone[] = " (deleted)"; /* still has its keepsake */
  char path[PATH_MAX];
  if (!data_fd_path(fd, path) || !data_contains(path)) return IGNORED;
  size_t n = strlen(path), g = sizeof gone - 1;
  if (n > g && strcmp(path + n - g, gone) == 0) path[n - g] = 0;
  return is_volatile(path) ? IGNORED : WATCHED;
}

/* True for a regular file of the data folder that has a name. Asks the descriptor, not a table of
 * descriptors: dup, fork and descriptors from elsewhere need no care then. */
bool content_tracked(int fd, struct stat *st) {
  if (!journal_active()) return false;
  int saved = errno;
  bool tracked = false;
  if (fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_dev == data_device() && st->st_nlink > 0) {
    enum verdict verdict = recall(st->st_ino);
    if (verdict == UNKNOWN) learn(st->st_ino, verdict = judge(fd));
    tracked = verdict == WATCHED;
  }
  errno = saved;
  return tracked;
}

/* A descriptor was opened for writing: inode numbers are reused, so what was known is looked at anew. */
void content_opened(const struct stat *st, const struct place *place, bool created) {
  if (st->st_dev != data_device()) {
    journal_unsupported("a data file on another file system");
    return;
  }
  if (created) content_retire(st->st_ino);
  learn(st->st_ino, is_volatile(place->name) ? IGNORED : WATCHED);
}

/* === records === */

static struct log *log_of(ino_t inode, bool create) {
  size_t slot = inode % MAPPED_LOGS;
  if (mapped[slot].log) {
    if (mapped[slot].inode == inode && !mapped[slot].log->retired) return mapped[slot].log;
    struct log *stale = mapped[slot].log;
    mapped[slot].log = NULL; /* before it goes: a fork now must not copy a dangling slot */
    log_unmap(stale);
  }
  char path[PATH_MAX];
  mapped[slot].inode = inode;
  mapped[slot].log = log_map(journal_path(path, "i-", inode), create);
  return mapped[slot].log;
}

static bool read_old(int fd, char *into, uint64_t offset, uint64_t length) {
  while (length > 0) {
    ssize_t n = syscall(SYS_pread64, fd, into, length, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    into += n, offset += (uint64_t)n, length -= (uint64_t)n;
  }
  return true;
}

/* For a descriptor that was opened elsewhere, write-only. */
static bool read_old_by_name(int fd, char *into, uint64_t offset, uint64_t length) {
  char path[PATH_MAX];
  if (!data_fd_path(fd, path)) return false;
  int other = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (other < 0) return false;
  bool done = read_old(other, into, offset, length);
  close(other);
  return done;
}

static void keep(int fd, struct log *log, uint64_t from, uint64_t to, uint64_t old_size) {
  uint64_t length = to - from;
  uint64_t bytes = sizeof(struct content_record) + (length + 7) / 8 * 8;
  struct content_record *record = log_reserve(log, bytes);
  *record = (struct content_record){from, length, old_size};
  if (!read_old(fd, (char *)(record + 1), from, length) && !read_old_by_name(fd, (char *)(record + 1), from, length))
    journal_unsupported("old bytes of a data file cannot be read");
  log_commit(log, bytes);
}

void content_before_write(int fd, uint64_t offset, uint64_t length) {
  int saved = errno;
  struct stat st;
  if (length > 0 && fstat(fd, &st) == 0) {
    struct log *log = log_of(st.st_ino, true);
    uint64_t size = (uint64_t)st.st_size, end = offset + length;
    uint64_t keep_to = min(min(end, size), log->floor);
    bool overwrites = offset < keep_to, grows = end > size && log->floor > size;
    if (overwrites || grows) keep(fd, log, overwrites ? offset : 0, overwrites ? keep_to : 0, size);
    if (grows) log->floor = size;
  }
  errno = saved;
}

void content_before_resize(int fd, uint64_t size) {
  int saved = errno;
  struct stat st;
  if (fstat(fd, &st) == 0) {
    struct log *log = log_of(st.st_ino, true);
    uint64_t old_size = (uint64_t)st.st_size, lower = min(size, old_size);
    if (size != old_size && lower < log->floor) {
      keep(fd, log, lower, min(old_size, log->floor), old_size);
      log->floor = lower;
    }
  }
  errno = saved;
}

/* === fsync === */

/* An fsync begins: it will make durable what was written before the mark, nothing after. */
uint64_t content_mark(ino_t inode) {
  struct log *log = log_of(inode, false);
  if (!log) return 0;
  log->floor = NO_FLOOR;
  return log_position(log);
}

void content_forget(ino_t inode, uint64_t mark) {
  struct log *log = log_of(inode, false);
  if (!log || mark <= log->base + log->start || mark > log_position(log)) return;
  log_drop_to(log, mark - log->base);
}

/* The inode has lost its last name for good; its number may come back as another file. */
void content_retire(ino_t inode) {
  struct log *log = log_of(inode, false);
  if (!log) return;
  char path[PATH_MAX];
  log->retired = 1;
  syscall(SYS_unlinkat, AT_FDCWD, journal_path(path, "i-", inode), 0);
}
