/*
 * A program that has all threads to itself (mode host): its loop steps the node, and a thread of its own waits for the disk
 * in the node's place. Writes are acknowledged once they are on disk. The library starts no thread.
 */
#include <quorate.h>

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WRITES 1000

static quorate_node *node;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t something = PTHREAD_COND_INITIALIZER;
/* Under the lock: steps since the disk thread looked; that it is to end. */
static unsigned steps, ends_now;

static void check(int ok, const char *what, quorate_status status)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, quorate_status_text(status));
        exit(1);
    }
}

static quorate_bytes bytes(const char *text)
{
    quorate_bytes out;
    out.data = (const uint8_t *)text;
    out.len = strlen(text);
    return out;
}

/* Sleeps until the node was stepped, then does all that there is. What it did makes the node's descriptor readable. */
static void *work_at_disk(void *unused)
{
    quorate_status status;

    for (;;) {
        pthread_mutex_lock(&lock);
        while (steps == 0 && !ends_now)
            pthread_cond_wait(&something, &lock);
        steps = 0;
        if (ends_now) {
            pthread_mutex_unlock(&lock);
            return unused;
        }
        pthread_mutex_unlock(&lock);
        do
            status = quorate_disk_step(node);
        while (status == QUORATE_OK);
        check(status == QUORATE_AGAIN, "disk", status);
    }
}

static uint64_t ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void turn(void)
{
    struct pollfd fd;
    quorate_status status;

    fd.fd = quorate_node_fd(node);
    fd.events = POLLIN;
    poll(&fd, 1, -1);
    status = quorate_node_step(node, ns(CLOCK_MONOTONIC), ns(CLOCK_REALTIME) / 1000000, 0, NULL);
    check(status == QUORATE_OK, "step", status);
    pthread_mutex_lock(&lock);
    steps++;
    pthread_cond_signal(&something);
    pthread_mutex_unlock(&lock);
}

static void open_node(const char *folder)
{
    quorate_options *options = NULL;
    quorate_error error;
    quorate_status status;

    error.struct_size = sizeof error;
    status = QUORATE_OPTIONS_CREATE(&options);
    check(status == QUORATE_OK, "options", status);
    if (quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_HOST) != QUORATE_OK ||
        quorate_options_set_u64(options, QUORATE_OPT_DISK_THREAD, 0) != QUORATE_OK ||
        quorate_options_set_u64(options, QUORATE_OPT_SYNC, QUORATE_SYNC_ALWAYS) != QUORATE_OK ||
        quorate_options_set_bytes(options, QUORATE_OPT_DIR, bytes(folder)) != QUORATE_OK)
        check(0, "options", QUORATE_E_ARG);
    status = quorate_node_open(options, &node, &error);
    check(status == QUORATE_OK, error.text, status);
    quorate_options_free(options);
}

/* Threads of this process. */
static int threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

int main(void)
{
    char folder[] = "/tmp/quorate-XXXXXX", command[64], key[16];
    quorate_completion done[64];
    quorate_status status;
    pthread_t disk;
    size_t n, at;
    int sent = 0, ended = 0;

    check(mkdtemp(folder) != NULL, "a directory", QUORATE_E_IO);
    open_node(folder);
    check(pthread_create(&disk, NULL, work_at_disk, NULL) == 0, "a thread", QUORATE_E_NOMEM);
    while (ended < WRITES) {
        for (; sent < WRITES && sent < ended + 64; sent++) {
            sprintf(key, "key %d", sent);
            status = quorate_put(node, bytes(key), bytes("value"), bytes(""), NULL, (uint64_t)sent);
            check(status == QUORATE_OK, "put", status);
        }
        turn();
        while (quorate_reap(node, done, sizeof done[0], 64, &n) == QUORATE_OK) {
            for (at = 0; at < n; at++)
                check(done[at].status == QUORATE_OK && done[at].durable == 1, "a write", done[at].status);
            quorate_completions_clear(done, sizeof done[0], n);
            ended += (int)n;
        }
    }
    check(threads() == 2, "the library has a thread", QUORATE_E_STATE);

    pthread_mutex_lock(&lock);
    ends_now = 1;
    pthread_cond_signal(&something);
    pthread_mutex_unlock(&lock);
    pthread_join(disk, NULL);
    /* What is left a stop does by itself. */
    status = quorate_node_stop(node, 1000000000u);
    check(status == QUORATE_OK, "stop", status);
    quorate_node_free(node);
    printf("%d writes on disk, by two threads of the program and none of the library\n", ended);
    sprintf(command, "rm -r %s", folder);
    return system(command) != 0;
}
