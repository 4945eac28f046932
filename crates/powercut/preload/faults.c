#include "journal.h"
#include "faults.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

static uint64_t delay_us, fail_from, kill_at;
static bool skip_real, keep_nothing, spare_names;
static _Atomic uint64_t file_fsyncs;
static const struct switches *switches;

static uint64_t number(const char *variable) {
  const char *text = getenv(variable);
  return text ? strtoull(text, NULL, 10) : 0;
}

void faults_start(void) {
  delay_us = number("SKEIN_POWERCUT_FSYNC_DELAY_US");
  fail_from = number("SKEIN_POWERCUT_FSYNC_FAIL_AFTER");
  kill_at = number("SKEIN_POWERCUT_KILL_AT_FSYNC");
  skip_real = number("SKEIN_POWERCUT_SKIP_REAL_FSYNC") != 0;
  keep_nothing = number("SKEIN_POWERCUT_KEEP_NOTHING") != 0;
  spare_names = number("SKEIN_POWERCUT_SPARE_NAMES") != 0;
  char path[PATH_MAX];
  int fd = (int)syscall(SYS_openat, AT_FDCWD, journal_path(path, "switches", 0), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *page = (void *)syscall(SYS_mmap, NULL, sizeof *switches, PROT_READ, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) journal_fatal("cannot map the switches");
  switches = page;
  close(fd);
}

/* For measuring: keeping old bytes costs a write many times what it costs without, and under one lock. */
bool faults_keep_nothing(void) {
  static _Atomic bool told;
  if (keep_nothing && !atomic_exchange(&told, true)) journal_unsupported("a process was told to keep nothing");
  return keep_nothing;
}

bool faults_spare_names(void) { return spare_names; }

static void wait_us(uint64_t us) {
  struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
  while (us > 0 && nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

static bool is_deadly(uint64_t n) {
  static _Atomic uint64_t switched;
  uint64_t after = switches ? switches->kill_after : 0;
  return n == kill_at || (after && atomic_fetch_add(&switched, 1) + 1 >= after);
}

int faults_flush(int fd, long call, bool counted) {
  uint64_t n = counted ? atomic_fetch_add(&file_fsyncs, 1) + 1 : atomic_load(&file_fsyncs);
  if (counted && is_deadly(n)) syscall(SYS_kill, getpid(), SIGKILL);
  wait_us(delay_us + (switches ? switches->fsync_delay_us : 0));
  if ((fail_from && n >= fail_from) || (switches && switches->fsync_fails)) {
    errno = EIO;
    return -1;
  }
  return skip_real ? 0 : (int)syscall(call, fd);
}

bool faults_no_room(int fd, off_t at, size_t length) {
  struct stat st;
  if (!switches || !switches->full || length == 0 || !content_tracked(fd, &st)) return false;
  int saved = errno, flags = fcntl(fd, F_GETFL);
  if (flags != -1 && flags & O_APPEND) at = st.st_size;
  else if (at < 0) at = lseek(fd, 0, SEEK_CUR);
  bool grows = at + (off_t)length > st.st_size;
  errno = grows ? ENOSPC : saved;
  return grows;
}
