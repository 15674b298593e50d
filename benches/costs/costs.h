/* What the programs that measure costs share: 10,000 keys of 100 bytes, asked for 64 at a time. */
#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 64
#define KEYS 10000
#define VALUE_BYTES 100

static void check(int ok, const char *what, quorate_status status)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, quorate_status_text(status));
        exit(1);
    }
}

static quorate_bytes bytes(const void *data, size_t len)
{
    quorate_bytes out;
    out.data = (const uint8_t *)data;
    out.len = len;
    return out;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static quorate_bytes name_of(size_t number)
{
    static char names[KEYS][16];
    char *name = names[number % KEYS];
    if (name[0] == 0)
        sprintf(name, "key %u", (unsigned)(number % KEYS));
    return bytes(name, strlen(name));
}

/* A node is turned by this thread, or waited for. */
typedef void turn_of(quorate_node *node);

static void step(quorate_node *node)
{
    uint64_t wall_ms = clock_ns(CLOCK_REALTIME) / 1000000u;
    quorate_status status = quorate_node_step(node, clock_ns(CLOCK_MONOTONIC), wall_ms, 0, NULL);
    check(status == QUORATE_OK, "step", status);
}

static void await(quorate_node *node)
{
    quorate_status status = quorate_wait(node, UINT64_MAX);
    check(status >= 0, "wait", status);
}

/* Sixty-four requests of a kind, from the key of this number on, and their ends. What has to be tried again is said. */
static int batch(quorate_node *node, turn_of *turn, uint32_t kind, uint32_t flags, size_t first)
{
    static const uint8_t value[VALUE_BYTES];
    static quorate_completion ends[BATCH];
    static quorate_op ops[BATCH];
    static quorate_call call;
    size_t i, accepted, n, done = 0;
    quorate_status status;
    int is_whole = 1;

    call.struct_size = sizeof call;
    call.blind = QUORATE_BLIND_SUPERSEDE;
    call.flags = flags;
    for (i = 0; i < BATCH; i++) {
        ops[i].kind = kind;
        ops[i].tag = i;
        ops[i].key = name_of(first + i);
        ops[i].value = bytes(value, kind == QUORATE_OP_PUT ? sizeof value : 0);
        ops[i].call = &call;
    }
    status = quorate_submit(node, ops, sizeof ops[0], BATCH, &accepted);
    check(status == QUORATE_OK, "submit", status);
    while (done < BATCH) {
        turn(node);
        status = quorate_reap(node, ends, sizeof ends[0], BATCH, &n);
        check(status >= 0, "reap", status);
        for (i = 0; i < n; i++) {
            int may_retry = (quorate_status_flags(ends[i].status) & QUORATE_F_RETRIABLE) != 0;
            check(ends[i].status == QUORATE_OK || may_retry, "end", ends[i].status);
            is_whole &= ends[i].status == QUORATE_OK;
        }
        quorate_completions_clear(ends, sizeof ends[0], n);
        done += n;
    }
    return is_whole;
}

/* Writes every key, a few times. */
static void warm_up(quorate_node *node, turn_of *turn)
{
    size_t at;
    for (at = 0; at < 3 * KEYS; at += BATCH)
        while (!batch(node, turn, QUORATE_OP_PUT, 0, at)) {
        }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *of, size_t count)
{
    qsort(of, count, sizeof of[0], by_size);
    return of[count / 2];
}
