/* The logs of the journal: records of any bytes in a shared mapping, forgotten from the front. */
#include "journal.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define LOG_MAGIC 0x31676f4c6e656b53ull /* "SkenLog1" */
#define KEEP_PAGES (1ull << 20)         /* an emptied log gives back what it used beyond this */

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
