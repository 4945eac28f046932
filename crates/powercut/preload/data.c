/* Which paths belong to the data folder. */
#include "journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char data_dir[PATH_MAX];
static size_t data_bytes;
static dev_t device;

void data_start(const char *folder) {
  struct stat st;
  if (!realpath(folder, data_dir)) journal_fatal("the data folder is missing");
  if (stat(data_dir, &st) != 0) journal_fatal("cannot stat the data folder");
  data_bytes = strlen(data_dir);
  device = st.st_dev;
}

dev_t data_device(void) { return device; }

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
