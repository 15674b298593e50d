/*
 * What a request costs a C program that has a cluster of one node in memory in itself: 64 by quorate_submit at a time, in
 * mode packet, where this thread turns the loop, and in mode thread. The ways take turns within one run; each figure is
 * the median of the rounds. Then round trips of one request, by how the node's thread waits.
 *
 *   one                    the table
 *   one WAY REQUESTS       one way only, by its number: for strace, perf and valgrind
 */
#include "costs.h"

#define ROUNDS 21
#define BATCHES 500
#define TRIPS 2000

static quorate_node *opened(uint64_t mode, uint64_t spin_us)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_status status = QUORATE_OPTIONS_CREATE(&options);

    check(status == QUORATE_OK, "options", status);
    status = quorate_options_set_u64(options, QUORATE_OPT_MODE, mode);
    check(status == QUORATE_OK, "mode", status);
    status = quorate_options_set_u64(options, QUORATE_OPT_WAIT_SPIN_US, spin_us);
    check(status == QUORATE_OK, "spin", status);
    status = quorate_node_open(options, &node, NULL);
    check(status == QUORATE_OK, "open", status);
    quorate_options_free(options);
    if (mode == QUORATE_MODE_THREAD) {
        status = quorate_node_start(node, NULL);
        check(status == QUORATE_OK, "start", status);
    }
    return node;
}

static const struct {
    const char *name;
    int is_packet;
    uint32_t kind, flags;
} ways[] = {
    {"get, packet", 1, QUORATE_OP_GET, QUORATE_CALL_NO_CONTEXT},
    {"put, packet", 1, QUORATE_OP_PUT, QUORATE_CALL_NO_CONTEXT},
    {"get with context, packet", 1, QUORATE_OP_GET, 0},
    {"put with context, packet", 1, QUORATE_OP_PUT, 0},
    {"get, thread", 0, QUORATE_OP_GET, QUORATE_CALL_NO_CONTEXT},
    {"put, thread", 0, QUORATE_OP_PUT, QUORATE_CALL_NO_CONTEXT},
};

#define WAYS (sizeof ways / sizeof ways[0])

static void go(quorate_node *node, size_t way, size_t requests)
{
    turn_of *turn = ways[way].is_packet ? step : await;
    size_t at;
    for (at = 0; at < requests; at += BATCH)
        check(batch(node, turn, ways[way].kind, ways[way].flags, at), "every request ends well", QUORATE_E_OVERLOADED);
}

static quorate_node *ready(int is_packet)
{
    quorate_node *node = opened(is_packet ? QUORATE_MODE_PACKET : QUORATE_MODE_THREAD, 30);
    warm_up(node, is_packet ? step : await);
    return node;
}

static void compare_ways(void)
{
    static double wall[WAYS][ROUNDS], cpu[WAYS][ROUNDS];
    quorate_node *nodes[2];
    size_t way, round;

    nodes[0] = ready(0);
    nodes[1] = ready(1);
    for (round = 0; round < ROUNDS; round++) {
        for (way = 0; way < WAYS; way++) {
            uint64_t begun = clock_ns(CLOCK_MONOTONIC), used = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
            go(nodes[ways[way].is_packet], way, BATCHES * BATCH);
            wall[way][round] = (double)(clock_ns(CLOCK_MONOTONIC) - begun) / (BATCHES * BATCH);
            cpu[way][round] = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - used) / (BATCHES * BATCH);
        }
    }
    printf("%-28s %10s %10s %10s\n", "one node, N=1", "ns each", "CPU ns", "M/s");
    for (way = 0; way < WAYS; way++) {
        double each = median(wall[way], ROUNDS);
        printf("%-28s %10.0f %10.0f %10.2f\n", ways[way].name, each, median(cpu[way], ROUNDS), 1000 / each);
    }
    quorate_node_free(nodes[0]);
    quorate_node_free(nodes[1]);
}

/* One request after the other, each looked for until it has ended: nanoseconds each. */
static double trip(quorate_node *node)
{
    uint64_t begun = clock_ns(CLOCK_MONOTONIC);
    quorate_completion end;
    size_t n;
    int i;

    for (i = 0; i < TRIPS; i++) {
        quorate_status status = quorate_get(node, name_of((size_t)i), NULL, 1);
        check(status == QUORATE_OK, "get", status);
        do
            status = quorate_reap(node, &end, sizeof end, 1, &n);
        while (status == QUORATE_AGAIN);
        check(status == QUORATE_OK && end.status == QUORATE_OK, "end", end.status);
        quorate_completions_clear(&end, sizeof end, 1);
    }
    return (double)(clock_ns(CLOCK_MONOTONIC) - begun) / TRIPS;
}

static void compare_waits(void)
{
    static const struct {
        const char *name;
        uint64_t spin_us;
    } waits[] = {{"sleeps at once", 0}, {"hybrid, 30 us", 30}, {"never sleeps", UINT64_MAX}};
    double took[3][ROUNDS];
    quorate_node *nodes[3];
    size_t wait, round;

    /* A thread that never sleeps takes a CPU from the others, so each node has its rounds alone. */
    for (wait = 0; wait < 3; wait++) {
        nodes[wait] = opened(QUORATE_MODE_THREAD, waits[wait].spin_us);
        warm_up(nodes[wait], await);
        for (round = 0; round < ROUNDS; round++)
            took[wait][round] = trip(nodes[wait]);
        quorate_node_free(nodes[wait]);
    }
    printf("\n%-28s %10s\n", "a round trip, node's thread", "us");
    for (wait = 0; wait < 3; wait++)
        printf("%-28s %10.1f\n", waits[wait].name, median(took[wait], ROUNDS) / 1000);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        size_t way = (size_t)atol(argv[1]);
        quorate_node *node;
        check(way < WAYS, "way", QUORATE_E_ARG);
        node = ready(ways[way].is_packet);
        go(node, way, (size_t)atol(argv[2]));
        quorate_node_free(node);
        return 0;
    }
    compare_ways();
    compare_waits();
    return 0;
}
