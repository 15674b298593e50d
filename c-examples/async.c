/*
 * Requests that do not wait: a thousand writes and then reads in batches of 64. A batch goes to the node in one call, and
 * what has ended comes back in one. One node (mode thread), records in memory.
 */
#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 1000
#define BATCH 64

static char keys[KEYS][16];

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

/* Submits the next requests, as many as the node takes; a full window is no failure. Returns how many. */
static size_t submit(quorate_node *node, uint32_t kind, size_t from)
{
    quorate_op ops[BATCH];
    size_t n, accepted;
    quorate_status status;

    memset(ops, 0, sizeof ops);
    for (n = 0; n < BATCH && from + n < KEYS; n++) {
        ops[n].kind = kind;
        ops[n].tag = from + n; /* comes back in the completion */
        ops[n].key = bytes(keys[from + n]);
        if (kind == QUORATE_OP_PUT)
            ops[n].value = bytes("value");
    }
    if (n == 0)
        return 0;
    status = quorate_submit(node, ops, sizeof ops[0], n, &accepted);
    check(status == QUORATE_OK || status == QUORATE_E_OVERLOADED, "submit", status);
    return accepted;
}

/* Waits for what has ended, and checks it. Returns how many. */
static size_t reap(quorate_node *node)
{
    quorate_completion ends[BATCH];
    quorate_status status;
    size_t n, at;

    status = quorate_wait(node, UINT64_MAX);
    check(status >= 0, "wait", status);
    status = quorate_reap(node, ends, sizeof ends[0], BATCH, &n);
    check(status >= 0, "reap", status);
    for (at = 0; at < n; at++) {
        check(ends[at].status == QUORATE_OK, keys[ends[at].tag], ends[at].status);
        if (ends[at].kind == QUORATE_OP_GET)
            check(ends[at].n_siblings == 1, "one version", ends[at].status);
    }
    quorate_completions_clear(ends, sizeof ends[0], n);
    return n;
}

static void run(quorate_node *node, uint32_t kind)
{
    size_t sent = 0, done = 0;

    while (done < KEYS) {
        sent += submit(node, kind, sent);
        done += reap(node);
    }
}

int main(void)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_status status;
    int i;

    for (i = 0; i < KEYS; i++)
        sprintf(keys[i], "key %d", i);
    status = QUORATE_OPTIONS_CREATE(&options);
    check(status == QUORATE_OK, "options", status);
    status = quorate_node_open(options, &node, NULL);
    check(status == QUORATE_OK, "open", status);
    quorate_options_free(options);
    status = quorate_node_start(node, NULL);
    check(status == QUORATE_OK, "start", status);

    run(node, QUORATE_OP_PUT);
    run(node, QUORATE_OP_GET);

    status = quorate_node_stop(node, 1000000000u);
    check(status == QUORATE_OK, "stop", status);
    quorate_node_free(node);
    printf("%d written and %d read in batches of %d\n", KEYS, KEYS, BATCH);
    return 0;
}
