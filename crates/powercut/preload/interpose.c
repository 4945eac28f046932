/* The libc functions that change files, or make changes durable, as the journal wants them done.
 *
 * Each asks whether the file or name is in the data folder, journals under the lock what it is about to
 * destroy, and makes the system call itself. Whatever is not in the data folder goes straight through.
 * An fsync runs outside the lock. */
#include "journal.h"
#include "faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define EXPORT __attribute__((visibility("default")))
#define ALIAS(name) __attribute__((visibility("default"), alias(name)))

/* === fsync === */

static int sync_file(int fd, long call, ino_t inode) {
  journal_lock();
  uint64_t mark = content_mark(inode), names = entries_mark();
  journal_unlock();
  int rc = faults_flush(fd, call, true);
  if (rc != 0) return rc;
  journal_lock();
  content_forget(inode, mark);
  if (faults_spare_names()) entries_forget_file(fd, names);
  journal_unlock();
  return 0;
}

static int sync_folder(int fd, long call, const char *dir) {
  journal_lock();
  uint64_t mark = entries_mark();
  journal_unlock();
  int rc = faults_flush(fd, call, false);
  if (rc != 0) return rc;
  journal_lock();
  entries_forget(dir, NULL, mark);
  journal_unlock();
  return 0;
}

static int sync_any(int fd, long call) {
  struct stat st;
  char dir[PATH_MAX];
  int saved = errno;
  if (content_tracked(fd, &st)) return sync_file(fd, call, st.st_ino);
  if (journal_active() && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && data_fd_path(fd, dir) && data_contains(dir))
    return sync_folder(fd, call, dir);
  errno = saved;
  return (int)syscall(call, fd);
}

EXPORT int fsync(int fd) { return sync_any(fd, SYS_fsync); }
EXPORT int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

/* === write === */

/* Locks and journals a write at the descriptor's position (`at` < 0) or at an offset. */
static bool begin_write(int fd, off_t at, size_t length) {
  struct stat st;
  if (!content_tracked(fd, &st) || faults_keep_nothing()) return false;
  int saved = errno;
  journal_lock();
  int flags = fcntl(fd, F_GETFL);
  if (flags != -1 && flags & O_APPEND)
    at = fstat(fd, &st) == 0 ? st.st_size : 0;
  else if (at < 0)
    at = lseek(fd, 0, SEEK_CUR);
  content_before_write(fd, (uint64_t)at, length);
  errno = saved;
  return true;
}

#define WRITING(fd, at, length, call)                   \
  do {                                                  \
    if (faults_no_room((fd), (at), (length))) return -1; \
    bool journalled = begin_write((fd), (at), (length)); \
    ssize_t written = (call);                           \
    if (journalled) journal_unlock();                   \
    return written;                                     \
  } while (0)

static size_t total(const struct iovec *parts, int count) {
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
  return bytes;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t length) {
  WRITING(fd, -1, length, syscall(SYS_write, fd, bytes, length));
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
  if (at < 0) return syscall(SYS_pwrite64, fd, bytes, length, at);
  WRITING(fd, at, length, syscall(SYS_pwrite64, fd, bytes, length, at));
}
ALIAS("pwrite64") ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at);

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
  WRITING(fd, -1, total(parts, count), syscall(SYS_writev, fd, parts, count));
}

/* The offset -1 means the descriptor's own position here, and only here. */
EXPORT ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
  WRITING(fd, at, total(parts, count), syscall(SYS_pwritev2, fd, parts, count, at, 0L, flags));
}
ALIAS("pwritev64v2") ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags);

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) {
  if (at < 0) return syscall(SYS_pwritev, fd, parts, count, at, 0L);
  WRITING(fd, at, total(parts, count), syscall(SYS_pwritev, fd, parts, count, at, 0L));
}
ALIAS("pwritev64") ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at);

EXPORT ssize_t copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags) {
  WRITING(out, out_at ? *out_at : -1, length, syscall(SYS_copy_file_range, in, in_at, out, out_at, length, flags));
}

EXPORT ssize_t sendfile64(int out, int in, off_t *in_at, size_t length) {
  WRITING(out, -1, length, syscall(SYS_sendfile, out, in, in_at, length));
}
ALIAS("sendfile64") ssize_t sendfile(int out, int in, off_t *in_at, size_t length);

/* Could wait for its pipe while holding the lock. Callers fall back to reading and writing. */
EXPORT ssize_t splice(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags) {
  struct stat st;
  if (content_tracked(out, &st)) {
    errno = EINVAL;
    return -1;
  }
  return syscall(SYS_splice, in, in_at, out, out_at, length, flags);
}

EXPORT void *mmap64(void *hint, size_t length, int protection, int flags, int fd, off_t at) {
  struct stat st;
  bool writes = fd >= 0 && flags & MAP_SHARED && protection & PROT_WRITE && content_tracked(fd, &st);
  void *mapped = (void *)syscall(SYS_mmap, hint, length, protection, flags, fd, at);
  /* One that was only tried changes nothing: InnoDB asks for MAP_SYNC, which few file systems have. */
  if (writes && mapped != MAP_FAILED) journal_unsupported("a shared writable mapping of a data file");
  return mapped;
}
ALIAS("mmap64") void *mmap(void *hint, size_t length, int protection, int flags, int fd, off_t at);

/* === length === */

EXPORT int ftruncate64(int fd, off_t size) {
  struct stat st;
  if (size < 0 || !content_tracked(fd, &st) || faults_keep_nothing()) return (int)syscall(SYS_ftruncate, fd, size);
  journal_lock();
  content_before_resize(fd, (uint64_t)size);
  int rc = (int)syscall(SYS_ftruncate, fd, size);
  journal_unlock();
  return rc;
}
ALIAS("ftruncate64") int ftruncate(int fd, off_t size);

EXPORT int truncate64(const char *path, off_t size) {
  struct place place;
  if (!journal_active() || !data_place(AT_FDCWD, path, FOLLOW_LAST, &place)) return (int)syscall(SYS_truncate, path, size);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return -1;
  int rc = ftruncate64(fd, size), saved = errno;
  close(fd);
  errno = saved;
  return rc;
}
ALIAS("truncate64") int truncate(const char *path, off_t size);

EXPORT int fallocate64(int fd, int mode, off_t at, off_t length) {
  struct stat st;
  if (at < 0 || length <= 0 || !content_tracked(fd, &st)) return (int)syscall(SYS_fallocate, fd, mode, at, length);
  bool zeroes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE), grows = !(mode & FALLOC_FL_KEEP_SIZE);
  if (grows && faults_no_room(fd, at, (size_t)length)) return -1;
  if (faults_keep_nothing()) return (int)syscall(SYS_fallocate, fd, mode, at, length);
  journal_lock();
  if (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) journal_unsupported("fallocate moved bytes of a data file");
  if (zeroes) content_before_write(fd, (uint64_t)at, (uint64_t)length);
  else if (grows && fstat(fd, &st) == 0 && at + length > st.st_size) content_before_resize(fd, (uint64_t)(at + length));
  int rc = (int)syscall(SYS_fallocate, fd, mode, at, length);
  journal_unlock();
  return rc;
}
ALIAS("fallocate64") int fallocate(int fd, int mode, off_t at, off_t length);

EXPORT int posix_fallocate64(int fd, off_t at, off_t length) {
  int saved = errno, rc = fallocate64(fd, 0, at, length) == 0 ? 0 : errno;
  errno = saved;
  return rc == EOPNOTSUPP ? EINVAL : rc;
}
ALIAS("posix_fallocate64") int posix_fallocate(int fd, off_t at, off_t length);

/* === open === */

static int open_real(int dirfd, const char *path, int flags, mode_t mode) {
  return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

/* Old bytes are read through the caller's descriptor, so write-only becomes read-write: a descriptor of
 * our own would, when closed, end the process's POSIX locks on the file. */
static int open_readable(int dirfd, const char *path, int flags, mode_t mode) {
  if ((flags & O_ACCMODE) == O_WRONLY) {
    int fd = open_real(dirfd, path, (flags & ~O_ACCMODE) | O_RDWR, mode);
    if (fd >= 0 || errno != EACCES) return fd;
  }
  return open_real(dirfd, path, flags, mode);
}

static void empty_opened(int fd) {
  content_before_resize(fd, 0);
  if (syscall(SYS_ftruncate, fd, 0) != 0) journal_unsupported("a data file cannot be emptied");
}

static int open_data_file(int dirfd, const char *path, int flags, mode_t mode, const struct place *place, bool exists) {
  bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (!exists) entry_before_create(place);
  int fd = open_readable(dirfd, path, flags & ~O_TRUNC, mode);
  struct stat st, watched;
  if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return fd;
  content_opened(&st, place, !exists);
  if (!writes || !(flags & O_TRUNC)) return fd;
  if (content_tracked(fd, &watched)) empty_opened(fd);
  else if (syscall(SYS_ftruncate, fd, 0) != 0) journal_unsupported("a data file cannot be emptied");
  return fd;
}

static int open_any(int dirfd, const char *path, int flags, mode_t mode) {
  struct place place;
  struct stat st;
  bool writes = (flags & O_ACCMODE) != O_RDONLY, creates = flags & O_CREAT;
  if (!journal_active() || !(writes || creates) || flags & (O_PATH | O_DIRECTORY) || !data_place(dirfd, path, FOLLOW_LAST, &place))
    return open_real(dirfd, path, flags, mode);
  int saved = errno;
  journal_lock();
  bool exists = lstat(place.full, &st) == 0;
  if (exists ? !S_ISREG(st.st_mode) : !creates) {
    journal_unlock(); /* opening a pipe may wait */
    return open_real(dirfd, path, flags, mode);
  }
  int fd = open_data_file(dirfd, path, flags, mode, &place, exists);
  journal_unlock();
  if (fd >= 0) errno = saved;
  return fd;
}

#define MODE_ARGUMENT(flags, mode)                          \
  mode_t mode = 0;                                          \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                    \
    va_list rest;                                           \
    va_start(rest, flags);                                  \
    mode = va_arg(rest, mode_t);                            \
    va_end(rest);                                           \
  }

EXPORT int open64(const char *path, int flags, ...) {
  MODE_ARGUMENT(flags, mode)
  return open_any(AT_FDCWD, path, flags, mode);
}
ALIAS("open64") int open(const char *path, int flags, ...);

EXPORT int openat64(int dirfd, const char *path, int flags, ...) {
  MODE_ARGUMENT(flags, mode)
  return open_any(dirfd, path, flags, mode);
}
ALIAS("openat64") int openat(int dirfd, const char *path, int flags, ...);

EXPORT int creat64(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
ALIAS("creat64") int creat(const char *path, mode_t mode);

/* What fortified headers call when there is no mode argument. */
EXPORT int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
ALIAS("__open64_2") int __open_2(const char *path, int flags);
EXPORT int __openat64_2(int dirfd, const char *path, int flags) { return open_any(dirfd, path, flags, 0); }
ALIAS("__openat64_2") int __openat_2(int dirfd, const char *path, int flags);

/* === names === */

/* Locks and journals that a name which is free now will be bound. */
static bool begin_create(int dirfd, const char *path, struct place *place) {
  struct stat st;
  int saved = errno;
  if (!journal_active() || !data_place(dirfd, path, KEEP_LAST, place)) return false;
  journal_lock();
  if (lstat(place->full, &st) != 0) entry_before_create(place);
  errno = saved;
  return true;
}

EXPORT int mkdirat(int dirfd, const char *path, mode_t mode) {
  struct place place;
  bool journalled = begin_create(dirfd, path, &place);
  int rc = (int)syscall(SYS_mkdirat, dirfd, path, mode);
  if (journalled) journal_unlock();
  return rc;
}
EXPORT int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

EXPORT int symlinkat(const char *target, int dirfd, const char *path) {
  struct place place;
  bool journalled = begin_create(dirfd, path, &place);
  int rc = (int)syscall(SYS_symlinkat, target, dirfd, path);
  if (journalled) journal_unlock();
  return rc;
}
EXPORT int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

EXPORT int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  struct place place, source;
  bool journalled = begin_create(to_dir, to, &place);
  if (journalled && !data_place(from_dir, from, KEEP_LAST, &source)) journal_unsupported("a file linked into the data folder");
  int rc = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
  if (journalled) journal_unlock();
  return rc;
}
EXPORT int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

EXPORT int unlinkat(int dirfd, const char *path, int flags) {
  struct place place;
  struct stat st;
  int saved = errno;
  if (!journal_active() || !data_place(dirfd, path, KEEP_LAST, &place)) return (int)syscall(SYS_unlinkat, dirfd, path, flags);
  journal_lock();
  if (lstat(place.full, &st) == 0 && !S_ISDIR(st.st_mode) == !(flags & AT_REMOVEDIR)) entry_before_loss(&place, &st);
  errno = saved;
  int rc = (int)syscall(SYS_unlinkat, dirfd, path, flags);
  journal_unlock();
  return rc;
}
EXPORT int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
EXPORT int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
EXPORT int remove(const char *path) {
  int saved = errno;
  if (unlink(path) == 0) return 0;
  if (errno != EISDIR) return -1;
  errno = saved;
  return rmdir(path);
}

/* The new name takes the file, then the old one loses it: two entries, each durable with its folder. */
static void before_rename(const struct place *from, const struct place *to, unsigned flags) {
  struct stat moved, taken;
  if (lstat(from->full, &moved) != 0) return;
  bool replaces = lstat(to->full, &taken) == 0;
  if (replaces && taken.st_ino == moved.st_ino) return;
  if (S_ISDIR(moved.st_mode) || flags & RENAME_EXCHANGE) {
    journal_unsupported("a folder renamed or two names exchanged in the data folder");
    return;
  }
  if (replaces) entry_before_loss(to, &taken);
  else entry_before_create(to);
  entry_before_loss(from, &moved);
}

EXPORT int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  struct place source, target;
  bool leaves = journal_active() && data_place(from_dir, from, KEEP_LAST, &source);
  bool enters = journal_active() && data_place(to_dir, to, KEEP_LAST, &target);
  if (!leaves && !enters) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
  int saved = errno;
  journal_lock();
  if (leaves && enters) before_rename(&source, &target, flags);
  else journal_unsupported("a rename into or out of the data folder");
  errno = saved;
  int rc = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
  journal_unlock();
  return rc;
}
EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
EXPORT int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
