/*
 * A forked child: every function refuses, freeing is allowed, and the parent goes on undisturbed.
 *
 * Exits with 0 if all holds. Run by scripts/c-examples.sh.
 */
#include <quorate.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "fork.c:%d: not so: %s\n", __LINE__, #condition);    \
            failures++;                                                          \
        }                                                                        \
    } while (0)

static quorate_bytes bytes(const char *text)
{
    quorate_bytes out;
    out.data = (const uint8_t *)text;
    out.len = strlen(text);
    return out;
}

/* Every function, in the child. */
static void refused(quorate_options *options, quorate_node *node)
{
    quorate_options *copy = (quorate_options *)&failures;
    quorate_node *other = (quorate_node *)&failures;
    quorate_completion end;
    quorate_bytes none = bytes("");
    quorate_op op;
    quorate_order order;
    quorate_change change;
    const quorate_bytes *keys;
    char text[64];
    size_t n = 7;
    uint32_t more = 7;
    uint64_t peer = 7;
    quorate_frame frame;

    memset(&end, 0, sizeof end);
    memset(&frame, 0, sizeof frame);
    memset(&op, 0, sizeof op);
    op.kind = QUORATE_OP_GET;
    op.key = bytes("k");

    EXPECT(quorate_options_new(1, &copy) == QUORATE_E_FORKED && copy == NULL);
    EXPECT(quorate_options_set_u64(options, QUORATE_OPT_N, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes("A")) == QUORATE_E_FORKED);
    EXPECT(quorate_options_add_bytes(options, QUORATE_OPT_MEMBERS, bytes("A")) == QUORATE_E_FORKED);
    EXPECT(quorate_options_parse(options, bytes("n"), bytes("1"), NULL) == QUORATE_E_FORKED);
    EXPECT(quorate_options_clone(options, &copy) == QUORATE_E_FORKED && copy == NULL);
    EXPECT(quorate_node_open(options, &other, NULL) == QUORATE_E_FORKED && other == NULL);
    EXPECT(quorate_node_address(node, 0, text, sizeof text, &n) == QUORATE_E_FORKED && n == 0);
    EXPECT(quorate_node_isolate(node, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_node_meet(node, bytes("A"), bytes("127.0.0.1:1")) == QUORATE_E_FORKED);
    EXPECT(quorate_node_start(node, NULL) == QUORATE_E_FORKED);
    EXPECT(quorate_node_stop(node, 0) == QUORATE_E_FORKED);
    EXPECT(quorate_node_state(node) == 0);
    EXPECT(quorate_get(node, bytes("k"), NULL, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_put(node, bytes("k"), bytes("v"), none, NULL, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_delete(node, bytes("k"), none, NULL, 1) == QUORATE_E_FORKED);
    n = 7;
    EXPECT(quorate_submit(node, &op, sizeof op, 1, &n) == QUORATE_E_FORKED && n == 0);
    n = 7;
    EXPECT(quorate_reap(node, &end, sizeof end, 1, &n) == QUORATE_E_FORKED && n == 0);
    EXPECT(quorate_completion_fd(node) == QUORATE_E_FORKED);
    EXPECT(quorate_wait(node, 0) == QUORATE_E_FORKED);
    EXPECT(quorate_get_sync(node, bytes("k"), NULL, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_put_sync(node, bytes("k"), bytes("v"), none, NULL, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_delete_sync(node, bytes("k"), none, NULL, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_add(node, bytes("k"), 1, 0, NULL, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_put_number(node, bytes("k"), 1, none, NULL, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_add_sync(node, bytes("k"), 1, 0, NULL, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_put_number_sync(node, bytes("k"), 1, none, NULL, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_set_add(node, bytes("k"), &none, 1, NULL, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_set_remove(node, bytes("k"), &none, 1, NULL, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_set_add_sync(node, bytes("k"), &none, 1, NULL, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_set_remove_sync(node, bytes("k"), &none, 1, NULL, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_merge_register(node, 0, NULL, NULL, NULL) == QUORATE_E_FORKED);
    EXPECT(quorate_scan(node, none, none, none, 0, NULL, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_scan_sync(node, none, none, none, 0, NULL, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_watch(node, QUORATE_PARTITION_ALL, none, 0, NULL, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_unwatch(node, 1) == QUORATE_E_FORKED);
    n = 7;
    EXPECT(quorate_result_keys(NULL, &keys, &n) == QUORATE_E_FORKED && n == 0);
    EXPECT(quorate_result_change(NULL, 0, &change, sizeof change) == QUORATE_E_FORKED);
    memset(&order, 0, sizeof order);
    order.struct_size = sizeof order;
    order.kind = QUORATE_ORDER_LOOK;
    EXPECT(quorate_cluster_order(node, &order, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_cluster_order_sync(node, &order, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_result_text(NULL, QUORATE_TEXT_PLAN, &none) == QUORATE_E_FORKED);
    EXPECT(quorate_node_fd(node) == QUORATE_E_FORKED);
    EXPECT(quorate_node_deadline(node) == UINT64_MAX);
    EXPECT(quorate_node_step(node, 0, 0, 0, &more) == QUORATE_E_FORKED && more == 0);
    EXPECT(quorate_net_accept(node, 0, 0, &peer) == QUORATE_E_FORKED && peer == 0);
    EXPECT(quorate_net_rx(node, 1, &none, 1, 0, 0) == QUORATE_E_FORKED);
    EXPECT(quorate_net_event(node, 1, QUORATE_NET_UP, 0, 0, 0) == QUORATE_E_FORKED);
    n = 7;
    EXPECT(quorate_net_tx(node, &frame, sizeof frame, 1, &n) == QUORATE_E_FORKED && n == 0);
    quorate_node_wake(node);
    quorate_completions_clear(&end, sizeof end, 1);

    EXPECT(quorate_version_number() == QUORATE_VERSION_NUMBER);
    EXPECT(strcmp(quorate_status_name(QUORATE_E_FORKED), "E_FORKED") == 0);
    quorate_node_free(node);
    quorate_options_free(options);
}

int main(void)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_completion end;
    struct pollfd completions;
    pid_t child;
    int status, round;

    EXPECT(QUORATE_OPTIONS_CREATE(&options) == QUORATE_OK);
    EXPECT(quorate_node_open(options, &node, NULL) == QUORATE_OK);
    EXPECT(quorate_node_start(node, NULL) == QUORATE_OK);
    for (round = 0; round < 3; round++) {
        child = fork();
        if (child == 0) {
            failures = 0;
            refused(options, node);
            _exit(failures > 0);
        }
        EXPECT(child > 0 && waitpid(child, &status, 0) == child);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);

        completions.fd = quorate_completion_fd(node);
        completions.events = POLLIN;
        EXPECT(poll(&completions, 1, 0) == 0);
        EXPECT(quorate_put_sync(node, bytes("k"), bytes("v"), bytes(""), NULL, &end, sizeof end) == QUORATE_OK);
        quorate_completions_clear(&end, sizeof end, 1);
        EXPECT(quorate_get_sync(node, bytes("k"), NULL, &end, sizeof end) == QUORATE_OK);
        EXPECT(end.n_siblings == (uint32_t)round + 1);
        quorate_completions_clear(&end, sizeof end, 1);
    }
    EXPECT(quorate_node_stop(node, 0) == QUORATE_OK);
    quorate_node_free(node);
    quorate_options_free(options);
    if (failures == 0)
        printf("fork: the child is refused, the parent goes on\n");
    return failures > 0;
}
