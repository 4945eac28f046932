/* Before `main`: everything in its order, if the environment asks for it. */
#include "journal.h"
#include "faults.h"

#include <stdlib.h>

__attribute__((constructor)) static void start(void) {
  const char *data = getenv("SKEIN_POWERCUT_DATA"), *journal = getenv("SKEIN_POWERCUT_JOURNAL");
  if (!data || !journal) return;
  int saved = errno;
  data_start(data);
  journal_start(journal);
  faults_start();
  journal_activate();
  errno = saved;
}
