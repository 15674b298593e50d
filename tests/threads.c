/*
 * Threads: eight at once in every function of class B, each request that was accepted ends once; and a second thread in
 * a function of class C is told so. Run by scripts/c-tests.sh, and under a sanitizer by scripts/sanitizers.sh.
 */
#include <quorate.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define THREADS 8
#define ROUNDS 500

static int failures;
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            pthread_mutex_lock(&telling);                                        \
            fprintf(stderr, "threads.c:%d: not so: %s\n", __LINE__, #condition); \
            failures++;                                                          \
            pthread_mutex_unlock(&telling);                                      \
        }                                                                        \
    } while (0)

typedef struct worker {
    pthread_t thread;
    quorate_node *node;
    uint64_t number;
    uint64_t accepted;
    uint64_t busy;
} worker;

static quorate_bytes bytes(const char *text)
{
    quorate_bytes out;
    out.data = (const uint8_t *)text;
    out.len = strlen(text);
    return out;
}

static quorate_node *opened(uint64_t mode)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;

    EXPECT(QUORATE_OPTIONS_CREATE(&options) == QUORATE_OK);
    EXPECT(quorate_options_set_u64(options, QUORATE_OPT_MODE, mode) == QUORATE_OK);
    EXPECT(quorate_options_set_u64(options, QUORATE_OPT_WINDOW, 64) == QUORATE_OK);
    EXPECT(quorate_node_open(options, &node, NULL) == QUORATE_OK);
    quorate_options_free(options);
    return node;
}

/* Whether a request was taken: there is no other reason to refuse it but that the window is full. */
static int taken(quorate_status status)
{
    EXPECT(status == QUORATE_OK || status == QUORATE_E_OVERLOADED);
    return status == QUORATE_OK;
}

/* Class B, as fast as it goes. Tags of requests are numbered through for each thread. */
static void *parallel(void *of)
{
    worker *self = of;
    quorate_node *node = self->node;
    quorate_bytes none = bytes("");
    quorate_completion end;
    quorate_call call;
    quorate_op op;
    quorate_order order;
    char text[64];
    uint64_t figure;
    size_t n;
    int round;

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.blind = QUORATE_BLIND_SUPERSEDE;
    memset(&order, 0, sizeof order);
    order.struct_size = sizeof order;
    order.kind = QUORATE_ORDER_LOOK;
    for (round = 0; round < ROUNDS; round++) {
        uint64_t tag = self->number * ROUNDS + self->accepted;

        memset(&op, 0, sizeof op);
        op.kind = QUORATE_OP_GET;
        op.key = bytes("k");
        op.tag = tag;
        switch (round % 8) {
        case 0: self->accepted += taken(quorate_get(node, bytes("k"), NULL, tag)); break;
        case 1: self->accepted += taken(quorate_put(node, bytes("k"), bytes("v"), none, &call, tag)); break;
        case 2: self->accepted += taken(quorate_delete(node, bytes("k"), none, &call, tag)); break;
        case 3: self->accepted += taken(quorate_submit(node, &op, sizeof op, 1, &n)); break;
        case 4: self->accepted += taken(quorate_add(node, bytes("n"), 1, 0, NULL, tag)); break;
        case 5: self->accepted += taken(quorate_set_add(node, bytes("s"), &op.key, 1, NULL, tag)); break;
        case 6: self->accepted += taken(quorate_scan(node, none, none, none, 1, NULL, tag)); break;
        default: self->accepted += taken(quorate_cluster_order(node, &order, tag)); break;
        }
        EXPECT(quorate_node_state(node) == QUORATE_STATE_RUNNING);
        EXPECT(quorate_node_address(node, QUORATE_ADDRESS_CLIENT, text, sizeof text, &n) == QUORATE_E_ARG);
        EXPECT(quorate_node_figure(node, QUORATE_FIGURE_RECORDS, &figure) == QUORATE_OK);
        EXPECT(quorate_completion_fd(node) >= 0 && quorate_node_fd(node) == QUORATE_E_STATE);
        EXPECT(quorate_node_isolate(node, round % 2) == QUORATE_OK);
        EXPECT(quorate_unwatch(node, 1) == QUORATE_E_ARG);
        EXPECT(quorate_wait(node, 0) >= 0);
        quorate_node_wake(node);
#ifdef __SANITIZE_THREAD__
        (void)end;
#else
        /* A reply is handed over by a Mutex and a Condvar of Rust's standard library, in which it sees nothing. */
        if (round % 16 == 0 && taken(quorate_put_sync(node, bytes("k"), bytes("v"), none, &call, &end, sizeof end)))
            quorate_completions_clear(&end, sizeof end, 1);
#endif
    }
    return NULL;
}

/* Counts what has ended, by its tag. */
static void reap(quorate_node *node, uint64_t *seen)
{
    quorate_completion ends[16];
    quorate_status status;
    size_t n, at;

    EXPECT(quorate_wait(node, 1000000) >= 0);
    while ((status = quorate_reap(node, ends, sizeof ends[0], 16, &n)) == QUORATE_OK) {
        for (at = 0; at < n; at++) {
            EXPECT(ends[at].tag < THREADS * ROUNDS);
            seen[ends[at].tag]++;
        }
        quorate_completions_clear(ends, sizeof ends[0], n);
    }
    EXPECT(status == QUORATE_AGAIN);
}

static void class_b(void)
{
    static uint64_t seen[THREADS * ROUNDS];
    worker workers[THREADS];
    quorate_node *node = opened(QUORATE_MODE_THREAD);
    uint64_t at, tag, total = 0, ended = 0;

    EXPECT(quorate_node_start(node, NULL) == QUORATE_OK);
    memset(workers, 0, sizeof workers);
    for (at = 0; at < THREADS; at++) {
        workers[at].node = node;
        workers[at].number = at;
        EXPECT(pthread_create(&workers[at].thread, NULL, parallel, &workers[at]) == 0);
    }
    for (at = 0; at < ROUNDS; at++)
        reap(node, seen);
    for (at = 0; at < THREADS; at++)
        pthread_join(workers[at].thread, NULL);
    EXPECT(quorate_node_stop(node, 1000000000) == QUORATE_OK);
    reap(node, seen);
    for (at = 0; at < THREADS; at++) {
        total += workers[at].accepted;
        for (tag = 0; tag < ROUNDS; tag++) {
            EXPECT(seen[at * ROUNDS + tag] == (tag < workers[at].accepted));
            ended += seen[at * ROUNDS + tag];
        }
    }
    EXPECT(total > 0 && ended == total);
    quorate_node_free(node);
}

/* Class C by two threads that know nothing of each other, until one of them was told. */
static void *driving(void *of)
{
    worker *self = of;
    quorate_completion end;
    quorate_status status;
    size_t n;
    int round;

    for (round = 0; round < ROUNDS * 20; round++) {
        status = quorate_node_step(self->node, 1, 1, 0, NULL);
        EXPECT(status == QUORATE_OK || status == QUORATE_E_BUSY);
        self->busy += status == QUORATE_E_BUSY;
        status = quorate_reap(self->node, &end, sizeof end, 1, &n);
        EXPECT(status == QUORATE_AGAIN || status == QUORATE_E_BUSY);
        (void)quorate_node_deadline(self->node);
    }
    return NULL;
}

static void class_c(void)
{
    worker workers[2];
    quorate_node *node = opened(QUORATE_MODE_HOST);
    int at, tries;

    memset(workers, 0, sizeof workers);
    for (tries = 0; tries < 50 && workers[0].busy + workers[1].busy == 0; tries++) {
        for (at = 0; at < 2; at++) {
            workers[at].node = node;
            EXPECT(pthread_create(&workers[at].thread, NULL, driving, &workers[at]) == 0);
        }
        for (at = 0; at < 2; at++)
            pthread_join(workers[at].thread, NULL);
    }
    EXPECT(workers[0].busy + workers[1].busy > 0);
    quorate_node_free(node);
}

int main(void)
{
    class_b();
    class_c();
    if (failures == 0)
        printf("threads: %d in parallel, each request ended once, and two at the wheel are told\n", THREADS);
    return failures > 0;
}
