/* Makes chosen calls of a program fail: loaded before it by LD_PRELOAD.
 *
 *   FAULTS_TRIGGER=FILE     where FILE, once it exists, holds one line:  ID CALL PART SKIP COUNT ERRNO
 *
 * From then on calls of CALL (fdatasync, fsync, pwrite, write) on a descriptor whose path contains PART are
 * counted; after SKIP of them, COUNT of them fail with ERRNO. Another ID counts anew. Each counted call adds
 * a line to FILE.log, so that a test sees what was tried. Nothing is allocated, and without the file a call
 * costs one open. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counted_for = -1;
static long counted;

static void note(const char *trigger, const char *what, const char *call, const char *path) {
    char name[4200], line[4400];
    snprintf(name, sizeof name, "%s.log", trigger);
    int length = snprintf(line, sizeof line, "%s %s %s\n", what, call, path);
    int log = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log >= 0) {
        syscall(SYS_write, log, line, (size_t)length);
        syscall(SYS_close, log);
    }
}

/* The error to fail a call with; 0 lets it pass. */
static int verdict(const char *call, int fd) {
    const char *trigger = getenv("FAULTS_TRIGGER");
    if (trigger == NULL) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, trigger, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[512];
    long length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (length <= 0) return 0;
    text[length] = '\0';

    long id, skip, count;
    int error;
    char wanted[64], part[256];
    if (sscanf(text, "%ld %63s %255s %ld %ld %d", &id, wanted, part, &skip, &count, &error) != 6) return 0;
    if (strcmp(wanted, call) != 0) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t end = readlink(link, path, sizeof path - 1);
    if (end <= 0) return 0;
    path[end] = '\0';
    if (strstr(path, part) == NULL) return 0;

    pthread_mutex_lock(&lock);
    if (counted_for != id) {
        counted_for = id;
        counted = 0;
    }
    long number = counted++;
    int fails = number >= skip && number < skip + count;
    note(trigger, fails ? "failed" : "passed", call, path);
    pthread_mutex_unlock(&lock);
    return fails ? error : 0;
}

#define FAIL_IF_TOLD(call, fd)                \
    do {                                      \
        int before = errno;                   \
        int error = verdict(call, fd);        \
        errno = error != 0 ? error : before;  \
        if (error != 0) return -1;            \
    } while (0)

int fdatasync(int fd) {
    FAIL_IF_TOLD("fdatasync", fd);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    FAIL_IF_TOLD("fsync", fd);
    return (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    FAIL_IF_TOLD("pwrite", fd);
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    FAIL_IF_TOLD("write", fd);
    return syscall(SYS_write, fd, bytes, length);
}
