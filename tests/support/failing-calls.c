/*
 * Preloaded into a program, lets the n-th call of one kind on what lies below a folder fail, or ends the program there:
 *   FAULT_FOLDER  real path; calls on anything else are not counted
 *   FAULT_LOG     gets a line for each call that counts: its name and its path
 *   FAULT_CALL, FAULT_NTH, FAULT_ERRNO (0: SIGKILL); without them calls are only counted
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int calls;

static void tell(const char *name, const char *path) {
  const char *log = getenv("FAULT_LOG");
  int file = log ? openat(AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
  if (file < 0) return;
  dprintf(file, "%s %s\n", name, path);
  close(file);
}

/* Whether this call is the one. Does not return where it ends the program. */
static int fails(const char *name, const char *path) {
  int before = errno;
  const char *folder = getenv("FAULT_FOLDER"), *call = getenv("FAULT_CALL");
  if (!folder || !path || strncmp(path, folder, strlen(folder))) return 0;
  tell(name, path);
  if (!call || strcmp(call, name) || ++calls != atoi(getenv("FAULT_NTH"))) return errno = before, 0;
  tell("INJECTED", name);
  int number = atoi(getenv("FAULT_ERRNO"));
  if (number == 0) raise(SIGKILL);
  errno = number;
  return 1;
}

static int failsAt(const char *name, int file) {
  char link[64], path[PATH_MAX];
  int before = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length < 0) return 0;
  path[length] = 0;
  return fails(name, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails("open", path) ? -1 : REAL(open64)(path, flags, mode);
}
ssize_t write(int file, const void *bytes, size_t size) {
  return failsAt("write", file) ? -1 : REAL(write)(file, bytes, size);
}
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
  return failsAt("write", file) ? -1 : REAL(pwrite64)(file, bytes, size, at);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
  return failsAt("write", file) ? -1 : REAL(writev)(file, parts, count);
}
int fsync(int file) { return failsAt("fsync", file) ? -1 : REAL(fsync)(file); }
int fchmod(int file, mode_t mode) { return failsAt("fchmod", file) ? -1 : REAL(fchmod)(file, mode); }
int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : REAL(rename)(from, to); }
int link(const char *from, const char *to) { return fails("link", to) ? -1 : REAL(link)(from, to); }
int unlink(const char *path) { return fails("unlink", path) ? -1 : REAL(unlink)(path); }
int mkdir(const char *path, mode_t mode) { return fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }
int rmdir(const char *path) { return fails("rmdir", path) ? -1 : REAL(rmdir)(path); }

/* libuv closes by number. A file that could not be closed well is closed all the same. */
long syscall(long number, ...) {
  va_list rest;
  long values[6];
  va_start(rest, number);
  for (int index = 0; index < 6; index++) values[index] = va_arg(rest, long);
  va_end(rest);
  int failed = number == SYS_close && failsAt("close", (int)values[0]) ? errno : 0;
  long result = REAL(syscall)(number, values[0], values[1], values[2], values[3], values[4], values[5]);
  return failed ? (errno = failed, -1) : result;
}
int scandir64(const char *path, struct dirent64 ***found, int (*takes)(const struct dirent64 *),
              int (*compare)(const struct dirent64 **, const struct dirent64 **)) {
  return fails("readdir", path) ? -1 : REAL(scandir64)(path, found, takes, compare);
}
