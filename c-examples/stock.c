/*
 * A stock, counted on two nodes: three nodes in one process (mode thread, loopback, records in memory).
 *
 * Two clients read a stock of 10 on two nodes. One takes 2 and puts 8, the other takes 3 and puts 7. A plain put of
 * either would undo the other one; a number that is put where another was read is the difference, so 5 is left.
 * The first one has not heard of its success and asks again: that counts once.
 */
#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NODES 3

static const char *const NAMES[NODES] = {"A", "B", "C"};

/* Ends the program with the place and the reason, unless `ok`. */
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

/* Opens a member of the cluster. Its peer port is chosen by the system. */
static quorate_node *open_member(const char *name)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_error error;
    quorate_status status;

    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    status = QUORATE_OPTIONS_CREATE(&options);
    check(status == QUORATE_OK, "options", status);
    status = quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes(name));
    check(status == QUORATE_OK, "name", status);
    status = quorate_options_set_bytes(options, QUORATE_OPT_MEMBERS, bytes("A,B,C"));
    check(status == QUORATE_OK, "members", status);
    status = quorate_options_set_u64(options, QUORATE_OPT_TIMEOUT_MS, 10000);
    check(status == QUORATE_OK, "timeout", status);
    status = quorate_options_parse(options, bytes("peer-addr"), bytes("127.0.0.1:0"), &error);
    check(status == QUORATE_OK, error.text, status);
    status = quorate_node_open(options, &node, &error);
    check(status == QUORATE_OK, error.text, status);
    quorate_options_free(options);
    return node;
}

/* Opens all three, tells each where the others listen, and starts them. */
static void open_cluster(quorate_node *nodes[NODES])
{
    char address[64];
    quorate_status status;
    int i, j;

    for (i = 0; i < NODES; i++)
        nodes[i] = open_member(NAMES[i]);
    for (i = 0; i < NODES; i++) {
        status = quorate_node_address(nodes[i], QUORATE_ADDRESS_PEER, address, sizeof address, NULL);
        check(status == QUORATE_OK, "address", status);
        for (j = 0; j < NODES; j++) {
            status = quorate_node_meet(nodes[j], bytes(NAMES[i]), bytes(address));
            check(status == QUORATE_OK, "meet", status);
        }
    }
    for (i = 0; i < NODES; i++) {
        status = quorate_node_start(nodes[i], NULL);
        check(status == QUORATE_OK, "start", status);
    }
}

/* Counts, and tries again while the members have not found each other yet: nothing was written then. */
static void add(quorate_node *node, const char *key, int64_t by)
{
    const struct timespec nap = {0, 10000000};
    quorate_completion end;
    quorate_status status;

    for (;;) {
        status = quorate_add_sync(node, bytes(key), by, 0, NULL, &end, sizeof end);
        quorate_completions_clear(&end, sizeof end, 1);
        if (status == QUORATE_OK)
            return;
        check((quorate_status_flags(status) & QUORATE_F_RETRIABLE) != 0, "add", status);
        nanosleep(&nap, NULL);
    }
}

/* The one number that an answer shows. */
static long number(const quorate_completion *end)
{
    char text[32];
    size_t length;

    check(end->n_siblings == 1, "one number must be there", end->status);
    length = end->siblings[0].value.len;
    check(length < sizeof text, "a number must be short", end->status);
    memcpy(text, end->siblings[0].value.data, length);
    text[length] = 0;
    return strtol(text, NULL, 10);
}

/* Reads; the caller clears. */
static long get(quorate_node *node, const char *key, quorate_completion *end)
{
    quorate_status status = quorate_get_sync(node, bytes(key), NULL, end, sizeof *end);

    check(status == QUORATE_OK, "get", status);
    return number(end);
}

/* Puts a number where the one of a read was; returns what is left by all that count. */
static long put(quorate_node *node, const char *key, long value, const quorate_completion *read)
{
    quorate_completion end;
    quorate_status status =
        quorate_put_number_sync(node, bytes(key), value, read->context, NULL, &end, sizeof end);
    long left;

    check(status == QUORATE_OK, "put", status);
    left = number(&end);
    quorate_completions_clear(&end, sizeof end, 1);
    printf("put %ld: %ld are left here\n", value, left);
    return left;
}

int main(void)
{
    quorate_node *nodes[NODES];
    quorate_completion one, two, all;
    quorate_status status;
    long left;
    int i;

    open_cluster(nodes);
    add(nodes[0], "stock", 10);

    left = get(nodes[1], "stock", &one);
    check(left == 10, "the stock must be 10", one.status);
    left = get(nodes[2], "stock", &two);
    check(left == 10, "the stock must be 10", two.status);

    left = put(nodes[1], "stock", 8, &one);
    put(nodes[2], "stock", 7, &two);
    check(put(nodes[0], "stock", 8, &one) == left, "the same again is answered as before", one.status);
    quorate_completions_clear(&one, sizeof one, 1);
    quorate_completions_clear(&two, sizeof two, 1);

    left = get(nodes[0], "stock", &all);
    check(left == 5, "5 must be left", all.status);
    quorate_completions_clear(&all, sizeof all, 1);

    for (i = 0; i < NODES; i++) {
        status = quorate_node_stop(nodes[i], 1000000000u);
        check(status == QUORATE_OK, "stop", status);
        quorate_node_free(nodes[i]);
    }
    printf("stock %ld\n", left);
    return 0;
}
