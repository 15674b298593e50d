/*
 * A node in a loop of the program's own (mode host): no thread of the library runs. One poll() waits for
 * the node, for its completions, and for whatever else the program serves.
 */
#include <quorate.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS 100

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

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One turn of the node. */
static void step(quorate_node *node)
{
    uint32_t more;
    quorate_status status = quorate_node_step(node, clock_ns(CLOCK_MONOTONIC),
                                              clock_ns(CLOCK_REALTIME) / 1000000u, 64, &more);
    check(status == QUORATE_OK, "step", status);
}

/* Counts what has ended, and checks it. */
static int reap(quorate_node *node)
{
    quorate_completion ends[16];
    size_t n, i;
    int count = 0;

    while (quorate_reap(node, ends, sizeof ends[0], 16, &n) == QUORATE_OK) {
        for (i = 0; i < n; i++) {
            check(ends[i].status == QUORATE_OK, "request", ends[i].status);
            if (ends[i].kind == QUORATE_OP_GET)
                check(ends[i].n_siblings == 1, "one version", ends[i].status);
        }
        count += (int)n;
        quorate_completions_clear(ends, sizeof ends[0], n);
    }
    return count;
}

/* The loop: until `wanted` requests have ended. */
static void run(quorate_node *node, int wanted)
{
    struct pollfd fds[2];
    int ended = 0;

    fds[0].fd = quorate_node_fd(node);
    fds[1].fd = quorate_completion_fd(node);
    fds[0].events = fds[1].events = POLLIN;
    while (ended < wanted) {
        check(poll(fds, 2, -1) > 0, "poll", QUORATE_E_IO);
        if (fds[0].revents != 0)
            step(node);
        if (fds[1].revents != 0)
            ended += reap(node);
    }
    check(ended == wanted, "one completion for each request", QUORATE_OK);
}

int main(void)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_bytes none;
    quorate_error error;
    quorate_status status;
    char key[32];
    int i;

    memset(&none, 0, sizeof none);
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    status = QUORATE_OPTIONS_CREATE(&options);
    check(status == QUORATE_OK, "options", status);
    status = quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_HOST);
    check(status == QUORATE_OK, "mode", status);
    status = quorate_node_open(options, &node, &error);
    check(status == QUORATE_OK, error.text, status);
    quorate_options_free(options);

    for (i = 0; i < KEYS; i++) {
        sprintf(key, "key %d", i);
        status = quorate_put(node, bytes(key), bytes("value"), none, NULL, (uint64_t)i);
        check(status == QUORATE_OK, "put", status);
    }
    run(node, KEYS);
    for (i = 0; i < KEYS; i++) {
        sprintf(key, "key %d", i);
        status = quorate_get(node, bytes(key), NULL, (uint64_t)i);
        check(status == QUORATE_OK, "get", status);
    }
    run(node, KEYS);

    /* A request that is still in flight ends with the node: exactly one completion, whatever happens. */
    status = quorate_put(node, bytes("last"), bytes("value"), none, NULL, 0);
    check(status == QUORATE_OK, "put", status);
    status = quorate_node_stop(node, 0);
    check(status == QUORATE_OK, "stop", status);
    {
        quorate_completion end;
        size_t n;
        check(quorate_reap(node, &end, sizeof end, 1, &n) == QUORATE_OK && n == 1, "the last", QUORATE_OK);
        check(end.status == QUORATE_OK || (end.flags & QUORATE_F_UNCERTAIN) != 0, "the last", end.status);
        quorate_completions_clear(&end, sizeof end, 1);
    }
    quorate_node_free(node);
    printf("%d written, %d read\n", KEYS, KEYS);
    return 0;
}
