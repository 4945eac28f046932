/* The journal's folder and its lock. */
#include "journal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>

struct control {
  uint64_t ready;
  uint64_t keepsakes;
  pthread_mutex_t lock;
};

static char journal_dir[PATH_MAX];
static struct control *control;
static _Atomic bool active;

bool journal_active(void) { return active; }

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

void journal_start(const char *folder) {
  if (!realpath(folder, journal_dir)) journal_fatal("the journal folder is missing");
  open_control();
  /* Stays open until the process ends: this is how a cut knows that nobody writes any more. */
  if (flock(open_journal_file("alive"), LOCK_SH | LOCK_NB) != 0) journal_fatal("started during a cut");
}

void journal_activate(void) { active = true; }
