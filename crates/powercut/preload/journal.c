/* The journal's folder, its lock, its logs, and which paths belong to the data folder. */
#include "journal.h"
#include "faults.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define LOG_MAGIC 0x31676f4c6e656b53ull /* "SkenLog1" */
#define KEEP_PAGES (1ull << 20)         /* an emptied log gives back what it used beyond this */

struct control {
  uint64_t ready;
  uint64_t keepsakes;
  pthread_mutex_t lock;
};

static char data_dir[PATH_MAX];
static char journal_dir[PATH_MAX];
static size_t data_bytes;
static dev_t device;
static struct control *control;
static _Atomic bool active;

bool journal_active(void) { return active; }
dev_t data_device(void) { return device; }

static void say(const char *what) {
  char line[256];
  int n = snprintf(line, sizeof line, "skein-powercut: %s (errno %d)\n", what, errno);
  syscall(SYS_write, STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void journal_fatal(const char *what) {
  say(what);
  abort();
}

/* Undoing would be wrong after this, so the cut must fail; the process itself may go on. */
void journal_unsupported(const char *what) {
  int saved = errno;
  char path[PATH_MAX];
  int fd = (int)syscall(SYS_openat, AT_FDCWD, journal_path(path, "unsupported", 0),
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) {
    syscall(SYS_write, fd, what, strlen(what));
    close(fd);
  }
  errno = saved;
}

const char *journal_path(char out[PATH_MAX], const char *kind, uint64_t number) {
  size_t kind_bytes = strlen(kind);
  bool numbered = kind[kind_bytes - 1] == '-';
  int n = numbered ? snprintf(out, PATH_MAX, "%s/%s%llu", journal_dir, kind, (unsigned long long)number)
                   : snprintf(out, PATH_MAX, "%s/%s", journal_dir, kind);
  if (n >= PATH_MAX) journal_fatal("journal path too long");
  return out;
}

/* === lock ===
 * Robust and shared between processes: a killed holder does not block the next, and a forked child
 * never inherits a lock that only a thread of its parent can release. */

void journal_lock(void) {
  int saved = errno;
  int rc = pthread_mutex_lock(&control->lock);
  if (rc == EOWNERDEAD) rc = pthread_mutex_consistent(&control->lock);
  if (rc != 0) journal_fatal("journal lock is broken");
  errno = saved;
}

void journal_unlock(void) {
  int saved = errno;
  pthread_mutex_unlock(&control->lock);
  errno = saved;
}

uint64_t journal_next_keepsake(void) { return ++control->keepsakes; }

static void init_lock(pthread_mutex_t *lock) {
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(lock, &attr);
  pthread_mutexattr_destroy(&attr);
}

static int open_journal_file(const char *kind) {
  char path[PATH_MAX];
  int fd = (int)syscall(SYS_openat, AT_FDCWD, journal_path(path, kind, 0), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) journal_fatal("cannot open the journal");
  return fd;
}

static void open_control(void) {
  int fd = open_journal_file("control");
  if (flock(fd, LOCK_EX) != 0 || syscall(SYS_ftruncate, fd, sizeof(struct control)) != 0) journal_fatal("cannot size the journal");
  control = (void *)syscall(SYS_mmap, NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (control == MAP_FAILED) journal_fatal("cannot map the journal");
  if (!control->ready) {
    init_lock(&control->lock);
    control->ready = 1;
  }
  flock(fd, LOCK_UN); /* closing would not: the mapping keeps the open file */
  close(fd);
}

__attribute__((constructor)) static void journal_start(void) {
  const char *data = getenv("SKEIN_POWERCUT_DATA"), *journal = getenv("SKEIN_POWERCUT_JOURNAL");
  if (!data || !journal) return;
  int saved = errno;
  struct stat st;
  if (!realpath(data, data_dir) || !realpath(journal, journal_dir)) journal_fatal("data or journal folder is missing");
  if (stat(data_dir, &st) != 0) journal_fatal("cannot stat the data folder");
  data_bytes = strlen(data_dir);
  device = st.st_dev;
  open_control();
  /* Stays open until the process ends: this is how a cut knows that nobody writes any more. */
  if (flock(open_journal_file("alive"), LOCK_SH | LOCK_NB) != 0) journal_fatal("started during a cut");
  faults_start();
  active = true;
  errno = saved;
}

/* === paths === */

bool data_contains(const char *canonical) {
  return strncmp(canonical, data_dir, data_bytes) == 0 && (canonical[data_bytes] == '/' || canonical[data_bytes] == 0);
}

const char *data_relative(const char *canonical) {
  const char *rest = canonical + data_bytes;
  return *rest == '/' ? rest + 1 : rest;
}

bool data_fd_path(int fd, char out[PATH_MAX]) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, out, PATH_MAX - 1);
  if (n <= 0) return false;
  out[n] = 0;
  return true;
}

/* Splits `path` into canonical folder and last component, without following the last one. */
static bool split(char *path, struct place *place) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') path[--n] = 0;
  char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  size_t name_bytes = strlen(name);
  if (name_bytes == 0 || name_bytes > NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
  memcpy(place->name, name, name_bytes + 1);
  if (slash) *(slash == path ? slash + 1 : slash) = 0;
  if (!realpath(slash ? path : ".", place->dir)) return false;
  snprintf(place->full, sizeof place->full, "%s/%s", place->dir, place->name);
  return true;
}

/* True if the name lies in the data folder. Leaves errno alone. */
bool data_place(int dirfd, const char *path, enum follow follow, struct place *place) {
  int saved = errno;
  bool inside = false;
  char whole[PATH_MAX];
  size_t base = 0;
  if (!path) return false;
  if (path[0] != '/' && dirfd != AT_FDCWD) {
    if (!data_fd_path(dirfd, whole)) goto out;
    base = strlen(whole);
    whole[base++] = '/';
  }
  if (base + strlen(path) >= sizeof whole) goto out;
  strcpy(whole + base, path);
  if (!split(whole, place)) goto out;
  struct stat st;
  if (follow == FOLLOW_LAST && lstat(place->full, &st) == 0 && S_ISLNK(st.st_mode)) {
    if (!realpath(place->full, whole) || !split(whole, place)) goto out;
  }
  inside = data_contains(place->dir);
out:
  errno = saved;
  return inside;
}

/* === logs === */

struct log *log_map(const char *path, bool create) {
  int saved = errno;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
  if (fd < 0) {
    if (create) journal_fatal("cannot open a journal log");
    errno = saved;
    return NULL;
  }
  struct stat st;
  if (fstat(fd, &st) != 0) journal_fatal("cannot stat a journal log");
  if ((uint64_t)st.st_size < LOG_CAPACITY && syscall(SYS_ftruncate, fd, LOG_CAPACITY) != 0) journal_fatal("cannot size a journal log");
  struct log *log = (void *)syscall(SYS_mmap, NULL, LOG_CAPACITY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (log == MAP_FAILED) journal_fatal("cannot map a journal log");
  close(fd);
  if (log->magic != LOG_MAGIC) {
    log->base = 0;
    log->start = log->tail = sizeof *log;
    log->floor = NO_FLOOR;
    atomic_thread_fence(memory_order_seq_cst);
    log->magic = LOG_MAGIC;
  }
  if (log->start > log->tail) log->start = log->tail; /* killed while resetting */
  errno = saved;
  return log;
}

void log_unmap(struct log *log) { munmap(log, LOG_CAPACITY); }

void *log_reserve(struct log *log, uint64_t bytes) {
  if (bytes > LOG_CAPACITY - log->tail) journal_fatal("a journal log is full");
  return (char *)log + log->tail;
}

void log_commit(struct log *log, uint64_t bytes) { log->tail += bytes; }

uint64_t log_position(const struct log *log) { return log->base + log->tail; }

/* Forgets everything before `offset`. An empty log starts over; `tail` goes first, because a kill
 * in between must leave an empty log and never the forgotten records. */
void log_drop_to(struct log *log, uint64_t offset) {
  log->start = offset;
  if (log->start != log->tail) return;
  uint64_t used = log->tail;
  log->base += used - sizeof *log;
  log->tail = sizeof *log;
  log->start = sizeof *log;
  if (used > KEEP_PAGES) madvise((char *)log + KEEP_PAGES, LOG_CAPACITY - KEEP_PAGES, MADV_REMOVE);
}
