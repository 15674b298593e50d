/*
 * Where keys live, and how the members are: for a program that sends its work to where the data is, and for a page that
 * an operator looks at. Three nodes (mode thread) in one process; a snapshot is taken of the first.
 */
#include <quorate.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define KEYS 1000

static const char *const names[NODES] = {"A", "B", "C"};
static const char *const verdicts[] = {"-", "alive", "suspect", "down", "left"};

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

static quorate_node *opened(const char *name)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_error error;
    quorate_status status;

    error.struct_size = sizeof error;
    status = QUORATE_OPTIONS_CREATE(&options);
    check(status == QUORATE_OK, "options", status);
    status = quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes(name));
    check(status == QUORATE_OK, "name", status);
    status = quorate_options_set_bytes(options, QUORATE_OPT_MEMBERS, bytes("A,B,C"));
    check(status == QUORATE_OK, "members", status);
    status = quorate_options_set_u64(options, QUORATE_OPT_N, 2);
    check(status == QUORATE_OK, "n", status);
    status = quorate_node_open(options, &node, &error);
    check(status == QUORATE_OK, error.text, status);
    quorate_options_free(options);
    return node;
}

/* Each is told where the others are, as the system chose the ports. */
static void introduce(quorate_node *const *nodes)
{
    quorate_status status;
    char address[64];
    int i, j;

    for (i = 0; i < NODES; i++) {
        status = quorate_node_address(nodes[i], QUORATE_ADDRESS_PEER, address, sizeof address, NULL);
        check(status == QUORATE_OK, "address", status);
        for (j = 0; j < NODES; j++) {
            status = quorate_node_meet(nodes[j], bytes(names[i]), bytes(address));
            check(status == QUORATE_OK, "meet", status);
        }
    }
    for (i = 0; i < NODES; i++) {
        status = quorate_node_start(nodes[i], NULL);
        check(status == QUORATE_OK, "start", status);
    }
}

/* Shows the members; returns how many the node reaches. */
static int show(const quorate_members *members, int print)
{
    quorate_member list[NODES];
    quorate_status status;
    size_t n, i;
    int up = 0;

    /* A program that does not know how many there are asks with a capacity of 0 first. */
    status = quorate_members_list(members, list, sizeof list[0], NODES, &n);
    check(status == QUORATE_OK && n == NODES, "list", status);
    for (i = 0; i < n; i++) {
        up += (list[i].flags & QUORATE_MEMBER_IS_UP) != 0;
        if (print)
            printf("%.*s%s: %s, %" PRIu32 " partitions\n", (int)list[i].name.len, (const char *)list[i].name.data,
                   list[i].flags & QUORATE_MEMBER_IS_SELF ? " (asked)" : "", verdicts[list[i].verdict],
                   list[i].partitions);
    }
    return up;
}

/* How many of some keys each member holds, and how many it would answer first. */
static void spread(const quorate_members *members)
{
    int holds[NODES] = {0}, first[NODES] = {0};
    uint32_t owners[NODES];
    quorate_status status;
    char key[16];
    size_t n, i;
    int k;

    for (k = 0; k < KEYS; k++) {
        sprintf(key, "key %d", k);
        status = quorate_key_owners(members, 0, bytes(key), NULL, owners, NODES, &n);
        check(status == QUORATE_OK && n == 2, "owners", status);
        first[owners[0]]++;
        for (i = 0; i < n; i++)
            holds[owners[i]]++;
    }
    for (i = 0; i < NODES; i++)
        printf("%s holds %d of %d keys, and comes first for %d\n", names[i], holds[i], KEYS, first[i]);
}

/* What is counted under a name: the numbers of a release stay, so a program looks them up once. */
static void statistics(quorate_node *node, const char *wanted)
{
    size_t count = quorate_stat_count(), n, i;
    uint64_t *values = malloc(count * sizeof *values);
    quorate_status status;

    check(values != NULL, "memory", QUORATE_E_NOMEM);
    status = quorate_stats(node, values, count, &n);
    check(status == QUORATE_OK, "stats", status);
    for (i = 0; i < n; i++)
        if (strcmp(quorate_stat_name(i), wanted) == 0)
            printf("%s: %" PRIu64 "\n", wanted, values[i]);
    free(values);
}

int main(void)
{
    quorate_node *nodes[NODES];
    quorate_members *members = NULL;
    quorate_completion end;
    quorate_status status;
    int i;

    for (i = 0; i < NODES; i++)
        nodes[i] = opened(names[i]);
    introduce(nodes);
    /* A snapshot does not change: one that is to show something new is taken anew. */
    do {
        quorate_members_free(members);
        status = quorate_members_snapshot(nodes[0], &members);
        check(status == QUORATE_OK, "snapshot", status);
    } while (show(members, 0) < NODES);
    status = quorate_put_sync(nodes[0], bytes("key 0"), bytes("value"), bytes(""), NULL, &end, sizeof end);
    check(status == QUORATE_OK, "put", status);
    quorate_completions_clear(&end, sizeof end, 1);

    show(members, 1);
    spread(members);
    statistics(nodes[0], "requests");
    for (i = 0; i < NODES; i++)
        quorate_node_free(nodes[i]);
    quorate_members_free(members);
    return 0;
}
