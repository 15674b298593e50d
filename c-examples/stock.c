/*
 * A stock, sold on both sides of a cut: three nodes in one process (mode thread, loopback, records in memory).
 *
 * There are ten. The nodes are cut off from each other; one client buys two at one of them, another buys three at
 * another, both with W = 1. When the nodes meet again, every one of them says five. That is done by counting, by
 * putting a number where another one was read, and by putting versions that a third client resolves. The last write
 * alone would say seven or eight.
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

static quorate_call call_of(uint16_t replicas)
{
    quorate_call call;

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.r = replicas;
    call.w = replicas;
    return call;
}

static quorate_status get(quorate_node *node, const char *key, uint16_t replicas, quorate_completion *end)
{
    quorate_call call = call_of(replicas);

    return quorate_get_sync(node, bytes(key), &call, end, sizeof *end);
}

/* Waits until each node reaches so many replicas and no more. */
static void wait_until_each_reaches(quorate_node *nodes[NODES], uint16_t replicas)
{
    const struct timespec nap = {0, 10000000};
    quorate_completion end;
    quorate_status enough, more;
    int i;

    for (i = 0; i < NODES; i++) {
        for (;;) {
            enough = get(nodes[i], "nothing", replicas, &end);
            quorate_completions_clear(&end, sizeof end, 1);
            more = QUORATE_E_QUORUM;
            if (replicas < NODES) {
                more = get(nodes[i], "nothing", (uint16_t)(replicas + 1), &end);
                quorate_completions_clear(&end, sizeof end, 1);
            }
            if (enough == QUORATE_E_NOTFOUND && more == QUORATE_E_QUORUM)
                break;
            nanosleep(&nap, NULL);
        }
    }
}

static void cut(quorate_node *nodes[NODES], int on)
{
    int i;

    for (i = 0; i < NODES; i++) {
        quorate_status status = quorate_node_isolate(nodes[i], (uint32_t)on);
        check(status == QUORATE_OK, "isolate", status);
    }
    wait_until_each_reaches(nodes, on ? 1 : NODES);
}

/* The number that a version shows. */
static long number(const quorate_completion *end, uint32_t at)
{
    char text[32];
    size_t length;

    check(at < end->n_siblings, "a number must be there", end->status);
    length = end->siblings[at].value.len;
    check(length < sizeof text, "a number must be short", end->status);
    memcpy(text, end->siblings[at].value.data, length);
    text[length] = 0;
    return strtol(text, NULL, 10);
}

/* What a write ended with: ok, on one replica of one asked. */
static long done_alone(quorate_completion *end, const char *who)
{
    long left = end->n_siblings > 0 ? number(end, 0) : -1;

    check(end->status == QUORATE_OK, who, end->status);
    check(end->acked == 1 && end->asked == 1, "one replica must have acknowledged", end->status);
    printf("%s: ok acked=%d", who, (int)end->acked);
    if (left >= 0)
        printf(", %ld are left here", left);
    printf("\n");
    quorate_completions_clear(end, sizeof *end, 1);
    return left;
}

static void put(quorate_node *node, const char *key, const char *value, const quorate_completion *read, uint16_t w)
{
    const quorate_bytes none = {NULL, 0};
    quorate_call call = call_of(w);
    quorate_completion end;
    quorate_status status =
        quorate_put_sync(node, bytes(key), bytes(value), read ? read->context : none, &call, &end, sizeof end);

    check(status == QUORATE_OK, "put", status);
    check(end.acked >= w, "the replicas asked for must have acknowledged", status);
    quorate_completions_clear(&end, sizeof end, 1);
}

/* Every node must say five. */
static void check_stock(quorate_node *nodes[NODES], const char *key)
{
    quorate_completion end;
    quorate_status status;
    int i;

    for (i = 0; i < NODES; i++) {
        status = get(nodes[i], key, 2, &end);
        check(status == QUORATE_OK && end.n_siblings == 1 && number(&end, 0) == 5, "5 must be left", status);
        quorate_completions_clear(&end, sizeof end, 1);
    }
    printf("%s: every node says 5\n", key);
}

static void sell_by_counting(quorate_node *nodes[NODES])
{
    const uint64_t id = 1001;
    quorate_call alone = call_of(1);
    quorate_completion end;
    quorate_status status;
    long left;

    put(nodes[0], "counted", "10", NULL, NODES);
    cut(nodes, 1);
    status = quorate_add_sync(nodes[0], bytes("counted"), -2, id, &alone, &end, sizeof end);
    check(status == QUORATE_OK, "add", status);
    left = done_alone(&end, "A sells 2");
    status = quorate_add_sync(nodes[1], bytes("counted"), -3, 0, &alone, &end, sizeof end);
    check(status == QUORATE_OK, "add", status);
    done_alone(&end, "B sells 3");
    /* The first answer was lost, say: the same again at the same node counts once. */
    status = quorate_add_sync(nodes[0], bytes("counted"), -2, id, &alone, &end, sizeof end);
    check(status == QUORATE_OK, "add again", status);
    check(done_alone(&end, "A sells the same 2") == left, "it is answered as before", status);
    cut(nodes, 0);
    check_stock(nodes, "counted");
}

static void sell_by_numbers(quorate_node *nodes[NODES])
{
    quorate_call alone = call_of(1);
    quorate_completion one, two, end;
    quorate_status status;

    put(nodes[0], "numbers", "10", NULL, NODES);
    status = get(nodes[0], "numbers", 2, &one);
    check(status == QUORATE_OK && number(&one, 0) == 10, "the stock must be 10", status);
    status = get(nodes[1], "numbers", 2, &two);
    check(status == QUORATE_OK && number(&two, 0) == 10, "the stock must be 10", status);
    cut(nodes, 1);
    status = quorate_put_number_sync(nodes[0], bytes("numbers"), 8, one.context, &alone, &end, sizeof end);
    check(status == QUORATE_OK, "put", status);
    done_alone(&end, "A puts 8");
    status = quorate_put_number_sync(nodes[1], bytes("numbers"), 7, two.context, &alone, &end, sizeof end);
    check(status == QUORATE_OK, "put", status);
    done_alone(&end, "B puts 7");
    status = quorate_put_number_sync(nodes[0], bytes("numbers"), 8, one.context, &alone, &end, sizeof end);
    check(status == QUORATE_OK, "put again", status);
    done_alone(&end, "A puts the same 8");
    quorate_completions_clear(&one, sizeof one, 1);
    quorate_completions_clear(&two, sizeof two, 1);
    cut(nodes, 0);
    check_stock(nodes, "numbers");
}

static void sell_by_versions(quorate_node *nodes[NODES])
{
    quorate_completion one, two, end;
    quorate_status status;
    char left[32];
    long total = 10;
    uint32_t i;

    put(nodes[0], "versions", "10", NULL, NODES);
    status = get(nodes[0], "versions", 2, &one);
    check(status == QUORATE_OK, "get", status);
    status = get(nodes[1], "versions", 2, &two);
    check(status == QUORATE_OK, "get", status);
    cut(nodes, 1);
    put(nodes[0], "versions", "8", &one, 1);
    put(nodes[1], "versions", "7", &two, 1);
    quorate_completions_clear(&one, sizeof one, 1);
    quorate_completions_clear(&two, sizeof two, 1);
    cut(nodes, 0);
    status = get(nodes[2], "versions", NODES, &end);
    check(status == QUORATE_OK && end.n_siblings == 2, "both versions must be there", status);
    for (i = 0; i < end.n_siblings; i++)
        total -= 10 - number(&end, i);
    printf("C reads %u versions and puts %ld; the last write alone would be %ld\n", (unsigned)end.n_siblings, total,
           number(&end, end.n_siblings - 1));
    snprintf(left, sizeof left, "%ld", total);
    put(nodes[2], "versions", left, &end, NODES);
    quorate_completions_clear(&end, sizeof end, 1);
    check_stock(nodes, "versions");
}

int main(void)
{
    quorate_node *nodes[NODES];
    quorate_status status;
    int i;

    open_cluster(nodes);
    wait_until_each_reaches(nodes, NODES);
    sell_by_counting(nodes);
    sell_by_numbers(nodes);
    sell_by_versions(nodes);
    for (i = 0; i < NODES; i++) {
        status = quorate_node_stop(nodes[i], 1000000000u);
        check(status == QUORATE_OK, "stop", status);
        quorate_node_free(nodes[i]);
    }
    return 0;
}
