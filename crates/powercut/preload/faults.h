/* Planted faults: slow, failing and deadly fsyncs, and a disk without room.
 *
 * The environment sets them when the process starts. Those in `struct switches` also change while it runs: it is a page
 * of the journal's folder that a test writes, and that need not be there. */
#ifndef SKEIN_POWERCUT_FAULTS_H
#define SKEIN_POWERCUT_FAULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Layout known to src/switches.rs. */
struct switches {
  _Atomic uint64_t fsync_delay_us; /* added to the environment's */
  _Atomic uint64_t fsync_fails;    /* every fsync below the data folder answers EIO */
  _Atomic uint64_t full;           /* what would make a data file longer answers ENOSPC */
  _Atomic uint64_t kill_after;     /* not 0: the process kills itself just before so many-th fsync of a data file from then on */
};

/* Once the journal knows its folder. */
void faults_start(void);
bool faults_keep_nothing(void);
/* Whether an fsync of a file makes its name durable, too. */
bool faults_spare_names(void);
int faults_flush(int fd, long call, bool counted);
/* True, with errno set, if the data file may not grow to hold `length` bytes at `at` (< 0: at its own position). */
bool faults_no_room(int fd, off_t at, size_t length);

#endif
