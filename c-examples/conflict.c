/*
 * A conflict, made and resolved: three nodes in one process (mode thread, loopback, records in memory).
 *
 * Two clients read the same version of a key on two nodes and both write. Neither write is lost: the next
 * read shows both. Whoever reads them writes back what they mean together, and one version is left.
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

/* Writes, and tries again while the members have not found each other yet: nothing was written then. */
static void put(quorate_node *node, const char *key, const char *value, quorate_bytes context)
{
    const struct timespec nap = {0, 10000000};
    quorate_completion end;
    quorate_status status;

    for (;;) {
        status = quorate_put_sync(node, bytes(key), bytes(value), context, NULL, &end, sizeof end);
        if (status == QUORATE_OK)
            printf("put %-6s acked by %u of %u\n", value, (unsigned)end.acked, (unsigned)end.asked);
        quorate_completions_clear(&end, sizeof end, 1);
        if (status == QUORATE_OK)
            return;
        check((quorate_status_flags(status) & QUORATE_F_RETRIABLE) != 0, "put", status);
        nanosleep(&nap, NULL);
    }
}

/* Reads and prints; the caller clears. */
static void get(quorate_node *node, const char *key, quorate_completion *end)
{
    quorate_status status = quorate_get_sync(node, bytes(key), NULL, end, sizeof *end);
    uint32_t i;

    check(status == QUORATE_OK, "get", status);
    printf("get %s:", key);
    for (i = 0; i < end->n_siblings; i++)
        printf(" %.*s", (int)end->siblings[i].value.len, (const char *)end->siblings[i].value.data);
    printf("\n");
}

static int has(const quorate_completion *end, const char *value)
{
    uint32_t i;

    for (i = 0; i < end->n_siblings; i++)
        if (end->siblings[i].value.len == strlen(value) &&
            memcmp(end->siblings[i].value.data, value, strlen(value)) == 0)
            return 1;
    return 0;
}

int main(void)
{
    quorate_node *nodes[NODES];
    quorate_completion end;
    quorate_bytes none;
    quorate_status status;
    int i;

    memset(&none, 0, sizeof none);
    open_cluster(nodes);

    put(nodes[0], "basket", "bread", none);

    /* Two clients go on from the same read, on two nodes. */
    get(nodes[1], "basket", &end);
    put(nodes[1], "basket", "butter", end.context);
    put(nodes[2], "basket", "cheese", end.context);
    quorate_completions_clear(&end, sizeof end, 1);

    get(nodes[0], "basket", &end);
    check(end.n_siblings == 2 && has(&end, "butter") && has(&end, "cheese"),
          "both writes must be there", end.status);

    /* What they mean together is for the program to say; the context says which versions it saw. */
    put(nodes[0], "basket", "both", end.context);
    quorate_completions_clear(&end, sizeof end, 1);

    get(nodes[2], "basket", &end);
    check(end.n_siblings == 1 && has(&end, "both"), "one version must be left", end.status);
    quorate_completions_clear(&end, sizeof end, 1);

    for (i = 0; i < NODES; i++) {
        status = quorate_node_stop(nodes[i], 1000000000u);
        check(status == QUORATE_OK, "stop", status);
        quorate_node_free(nodes[i]);
    }
    printf("resolved\n");
    return 0;
}
