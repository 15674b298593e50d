/*
 * A copy of a keyspace that a program keeps up to date (mode thread, one node): it follows what changes, and where it
 * is told of a gap, as it is at the begin, it scans. Whatever is written behind its back it hears of.
 *
 * The order is what makes it complete: the feed begins first, and what the scan does not see any more the feed tells.
 */
#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEED 1   /* the tag of the feed */
#define KEYS 64  /* room of the copy */
#define SIZE 32  /* room of a key, and of a value */

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

/* The copy: values by key; an empty key is a free row. */
static struct {
    char key[SIZE], value[SIZE];
} copy[KEYS];
static int scans, told;

/* Text in a buffer of SIZE; what is longer does not occur here. */
static void keep(char *to, quorate_bytes from)
{
    check(from.len < SIZE, "a text that is too long", QUORATE_OK);
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

/* The row of a key, a free one if it has none. */
static int row_of(const char *key)
{
    int at, free_row = -1;
    for (at = 0; at < KEYS; at++) {
        if (strcmp(copy[at].key, key) == 0)
            return at;
        if (copy[at].key[0] == '\0')
            free_row = at;
    }
    check(free_row >= 0, "the copy is full", QUORATE_OK);
    return free_row;
}

/* Takes what a key is now into the copy: of several values the first, of none nothing. */
static void take(quorate_bytes key, const quorate_sibling *siblings, uint32_t n)
{
    char name[SIZE];
    int at;
    keep(name, key);
    at = row_of(name);
    memset(&copy[at], 0, sizeof copy[at]);
    if (n > 0) {
        keep(copy[at].key, key);
        keep(copy[at].value, siblings[0].value);
    }
}

/* Reads everything anew: a page of keys after the other, and each key's value. */
static void scan(quorate_node *node)
{
    quorate_completion page, next, end;
    quorate_status status;
    const quorate_bytes *keys;
    size_t n, at;
    quorate_bytes none;

    memset(&none, 0, sizeof none);
    memset(&page, 0, sizeof page);
    memset(copy, 0, sizeof copy);
    do {
        status = quorate_scan_sync(node, page.context, none, none, 8, NULL, &next, sizeof next);
        check(status == QUORATE_OK, "scan", status);
        quorate_completions_clear(&page, sizeof page, 1);
        page = next;
        status = quorate_result_keys(page.result, &keys, &n);
        check(status == QUORATE_OK, "keys", status);
        for (at = 0; at < n; at++) {
            status = quorate_get_sync(node, keys[at], NULL, &end, sizeof end);
            check(status == QUORATE_OK || status == QUORATE_E_NOTFOUND, "get", status);
            take(keys[at], end.siblings, end.n_siblings);
            quorate_completions_clear(&end, sizeof end, 1);
        }
    } while (page.context.len > 0);
    quorate_completions_clear(&page, sizeof page, 1);
    scans++;
}

/* Waits for the next completion of the feed and carries it over; its status, with 1 for more to come. */
static quorate_status follow(quorate_node *node, int *more)
{
    quorate_completion end;
    quorate_change change;
    quorate_status status;
    size_t n, at;

    do {
        status = quorate_wait(node, UINT64_MAX);
        check(status >= 0, "wait", status);
        status = quorate_reap(node, &end, sizeof end, 1, &n);
        check(status >= 0, "reap", status);
    } while (n == 0);
    check(end.tag == FEED && end.kind == QUORATE_OP_WATCH, "whose completion it is", end.status);
    *more = (end.flags & QUORATE_N_MORE) != 0;
    status = end.status;
    if ((end.flags & QUORATE_N_GAP) != 0)
        scan(node);
    for (at = 0; *more && quorate_result_change(end.result, at, &change, sizeof change) == QUORATE_OK; at++) {
        take(change.key, change.siblings, change.n_siblings);
        told++;
    }
    /* A program that wants to go on after a restart keeps end.context, once what came before it is done. */
    quorate_completions_clear(&end, sizeof end, 1);
    return status;
}

static void put(quorate_node *node, const char *key, const char *value)
{
    quorate_completion end;
    quorate_status status;
    quorate_call call;

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.blind = QUORATE_BLIND_SUPERSEDE;
    status = quorate_put_sync(node, bytes(key), bytes(value), bytes(""), &call, &end, sizeof end);
    check(status == QUORATE_OK, "put", status);
    quorate_completions_clear(&end, sizeof end, 1);
}

/* Whether the copy has this value of a key; an empty one is none. */
static int has(const char *key, const char *value)
{
    return strcmp(copy[row_of(key)].value, value) == 0;
}

int main(void)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_completion end;
    quorate_status status;
    char key[SIZE];
    int at, more;

    status = QUORATE_OPTIONS_CREATE(&options);
    check(status == QUORATE_OK, "options", status);
    status = quorate_node_open(options, &node, NULL);
    check(status == QUORATE_OK, "open", status);
    quorate_options_free(options);
    status = quorate_node_start(node, NULL);
    check(status == QUORATE_OK, "start", status);
    for (at = 0; at < 20; at++) {
        sprintf(key, "stock:%d", at);
        put(node, key, "10");
    }

    status = quorate_watch(node, QUORATE_PARTITION_ALL, bytes(""), 0, NULL, FEED);
    check(status == QUORATE_OK, "watch", status);
    status = follow(node, &more);
    check(status == QUORATE_OK && more && scans == 1 && told == 0, "it begins with a gap", status);
    check(has("stock:0", "10") && has("stock:19", "10"), "what there was", QUORATE_OK);

    put(node, "stock:3", "9");
    put(node, "stock:20", "5");
    status = quorate_delete_sync(node, bytes("stock:0"), bytes(""), NULL, &end, sizeof end);
    check(status == QUORATE_OK, "delete", status);
    quorate_completions_clear(&end, sizeof end, 1);
    while (!has("stock:0", "") || !has("stock:3", "9") || !has("stock:20", "5")) {
        status = follow(node, &more);
        check(status == QUORATE_OK && more, "what changed", status);
    }
    check(scans == 1, "nothing was missed", QUORATE_OK);

    status = quorate_unwatch(node, FEED);
    check(status == QUORATE_OK, "unwatch", status);
    do
        status = follow(node, &more);
    while (more);
    check(status == QUORATE_E_CANCELLED, "the end", status);
    status = quorate_node_stop(node, 0);
    check(status == QUORATE_OK, "stop", status);
    quorate_node_free(node);
    printf("20 keys scanned, 3 changes told\n");
    return 0;
}
