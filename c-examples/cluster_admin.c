/*
 * A cluster that grows: A founds it, B asks to join, and the program, as its operator, looks at the plan and commits
 * it (mode thread, loopback, records in memory).
 *
 * What an order's completion tells is read by quorate_result_...; it lives until the completion is cleared.
 */
#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Ends the program with the place and the reason, unless `ok`. */
static void check(int ok, const char *what, const char *why)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, why);
        exit(1);
    }
}

static void check_status(quorate_status status, const char *what)
{
    check(status == QUORATE_OK, what, quorate_status_text(status));
}

static quorate_bytes bytes(const char *text)
{
    quorate_bytes out;
    out.data = (const uint8_t *)text;
    out.len = strlen(text);
    return out;
}

/* Starts a node that founds a cluster, or joins that of the member at `join`. */
static quorate_node *start(const char *name, const char *join)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_error error;

    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    check_status(QUORATE_OPTIONS_CREATE(&options), "options");
    check_status(quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes(name)), "name");
    check_status(quorate_options_set_u64(options, QUORATE_OPT_PARTITIONS, 16), "partitions");
    if (join == NULL)
        check_status(quorate_options_set_u64(options, QUORATE_OPT_FOUND, 1), "found");
    else
        check_status(quorate_options_add_bytes(options, QUORATE_OPT_JOIN, bytes(join)), "join");
    check(quorate_options_parse(options, bytes("peer-addr"), bytes("127.0.0.1:0"), &error) == QUORATE_OK,
          "peer", error.text);
    check(quorate_node_open(options, &node, &error) == QUORATE_OK, "open", error.text);
    check(quorate_node_start(node, &error) == QUORATE_OK, "start", error.text);
    quorate_options_free(options);
    return node;
}

/* Prints a text of an answer. */
static void print(const quorate_result *result, uint32_t which)
{
    quorate_bytes text;

    check_status(quorate_result_text(result, which, &text), "text");
    if (text.len > 0)
        printf("%.*s", (int)text.len, (const char *)text.data);
}

/* Gives an order and tells how the cluster is then. Prints a text of the answer, unless `text` is a reason: that is
 * what the program ends with if the order is refused. */
static quorate_cluster give(quorate_node *node, uint32_t kind, const char *name, uint64_t number, uint32_t text)
{
    quorate_completion end;
    quorate_cluster cluster;
    quorate_order order;
    quorate_status status;

    memset(&order, 0, sizeof order);
    order.struct_size = sizeof order;
    order.kind = kind;
    order.name = bytes(name);
    order.number = number;
    status = quorate_cluster_order_sync(node, &order, &end, sizeof end);
    if (status != QUORATE_OK && end.result != NULL) {
        print(end.result, QUORATE_TEXT_REASON);
        printf("\n");
    }
    check_status(status, "order");
    check_status(quorate_result_cluster(end.result, &cluster, sizeof cluster), "cluster");
    if (text != QUORATE_TEXT_REASON)
        print(end.result, text);
    quorate_completions_clear(&end, sizeof end, 1);
    return cluster;
}

/* Looks at the cluster until so much is staged and nothing moves. */
static quorate_cluster await(quorate_node *node, uint32_t staged)
{
    const struct timespec nap = {0, 10000000};
    quorate_cluster cluster;
    int tries;

    for (tries = 0; tries < 6000; tries++) {
        cluster = give(node, QUORATE_ORDER_LOOK, "", 0, QUORATE_TEXT_REASON);
        if (cluster.phase == QUORATE_PHASE_SETTLED && cluster.n_staged == staged)
            return cluster;
        nanosleep(&nap, NULL);
    }
    check(0, "await", "the cluster does not settle");
    return cluster;
}

/* Commits what is staged, after it was shown, and waits until the cluster has moved. */
static void commit(quorate_node *node)
{
    quorate_cluster plan = give(node, QUORATE_ORDER_PLAN, "", 0, QUORATE_TEXT_PLAN);

    give(node, QUORATE_ORDER_COMMIT, "", plan.plan_hash, QUORATE_TEXT_REASON);
    plan = await(node, 0);
    printf("settled with %u members\n\n", (unsigned)plan.n_members);
}

int main(void)
{
    char address[64];
    quorate_node *founder, *guest;

    founder = start("A", NULL);
    check_status(quorate_node_address(founder, QUORATE_ADDRESS_PEER, address, sizeof address, NULL), "address");
    guest = start("B", address);
    await(founder, 1);
    commit(founder);

    give(founder, QUORATE_ORDER_WEIGHT, "A", 2, QUORATE_TEXT_STAGED);
    give(founder, QUORATE_ORDER_LEAVE, "B", 0, QUORATE_TEXT_STAGED);
    commit(founder);

    check_status(quorate_node_stop(guest, 1000000000u), "stop");
    check_status(quorate_node_stop(founder, 1000000000u), "stop");
    quorate_node_free(guest);
    quorate_node_free(founder);
    return 0;
}
