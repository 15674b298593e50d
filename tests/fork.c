/*
 * A forked child: every function refuses, freeing is allowed, and the parent goes on undisturbed, also while the child
 * lives. A program that is started from here has no descriptor of ours. The argument is an empty directory.
 *
 * Exits with 0 if all holds. Run by scripts/c-tests.sh.
 */
#define _DEFAULT_SOURCE /* vfork */
#include "expect.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
    quorate_cluster cluster;
    quorate_member member;
    quorate_members *members = (quorate_members *)&failures;
    const quorate_bytes *keys;
    const quorate_status_info *infos = NULL;
    char text[64];
    size_t n = 7;
    uint32_t more = 7;
    int32_t order_of = 7;
    uint64_t peer = 7, figure = 7;
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
    EXPECT(quorate_options_set_progress(options, NULL, NULL, NULL) == QUORATE_E_FORKED);
    EXPECT(quorate_options_set_log(options, QUORATE_LOG_INFO, NULL, NULL, NULL) == QUORATE_E_FORKED);
    EXPECT(quorate_options_set_clock(options, NULL) == QUORATE_E_FORKED);
    EXPECT(quorate_options_clone(options, &copy) == QUORATE_E_FORKED && copy == NULL);
    EXPECT(quorate_node_open(options, &other, NULL) == QUORATE_E_FORKED && other == NULL);
    EXPECT(quorate_node_address(node, 0, text, sizeof text, &n) == QUORATE_E_FORKED && n == 0);
    EXPECT(quorate_node_isolate(node, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_node_meet(node, bytes("A"), bytes("127.0.0.1:1")) == QUORATE_E_FORKED);
    EXPECT(quorate_node_start(node, NULL) == QUORATE_E_FORKED);
    EXPECT(quorate_node_stop(node, 0) == QUORATE_E_FORKED);
    EXPECT(quorate_node_state(node) == 0);
    EXPECT(quorate_node_figure(node, QUORATE_FIGURE_RECORDS, &figure) == QUORATE_E_FORKED && figure == 0);
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
    EXPECT(quorate_cancel(node, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_disk_step(node) == QUORATE_E_FORKED);
    EXPECT(quorate_context_compare(none, none, &order_of) == QUORATE_OK && order_of == QUORATE_CONTEXT_EQUAL);
    n = 7;
    EXPECT(quorate_context_merge(node, 0, bytes("k"), NULL, 0, NULL, 0, &n) == QUORATE_E_FORKED && n == 0);
    EXPECT(quorate_members_snapshot(node, &members) == QUORATE_E_FORKED && members == NULL);
    n = 7;
    EXPECT(quorate_members_list(members, &member, sizeof member, 1, &n) == QUORATE_E_FORKED && n == 0);
    EXPECT(quorate_key_owners(members, 0, none, NULL, NULL, 0, &n) == QUORATE_E_FORKED);
    quorate_members_free(members);
    EXPECT(quorate_stats(node, &peer, 1, &n) == QUORATE_E_FORKED && n == 0);
    n = 7;
    EXPECT(quorate_result_keys(NULL, &keys, &n) == QUORATE_E_FORKED && n == 0);
    EXPECT(quorate_result_change(NULL, 0, &change, sizeof change) == QUORATE_E_FORKED);
    memset(&order, 0, sizeof order);
    order.struct_size = sizeof order;
    order.kind = QUORATE_ORDER_LOOK;
    EXPECT(quorate_cluster_order(node, &order, 1) == QUORATE_E_FORKED);
    EXPECT(quorate_cluster_order_sync(node, &order, &end, sizeof end) == QUORATE_E_FORKED);
    EXPECT(quorate_result_cluster(NULL, &cluster, sizeof cluster) == QUORATE_E_FORKED);
    EXPECT(quorate_result_member(NULL, 0, &member, sizeof member) == QUORATE_E_FORKED);
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

    n = 0;
    quorate_status_table(&infos, &n);
    EXPECT(n > 0 && infos != NULL);
    EXPECT(quorate_version_number() == QUORATE_VERSION_NUMBER);
    EXPECT(strcmp(quorate_status_name(QUORATE_E_FORKED), "E_FORKED") == 0);
    quorate_node_free(node);
    quorate_options_free(options);
}

/* Descriptors of this process. */
static int descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static quorate_node *opened(quorate_options *options, uint64_t mode)
{
    quorate_node *node = NULL;

    EXPECT(quorate_options_set_u64(options, QUORATE_OPT_MODE, mode) == QUORATE_OK);
    EXPECT(quorate_node_open(options, &node, NULL) == QUORATE_OK);
    return node;
}

/* A request at a node that is driven by its descriptor alone. */
static void steps(quorate_node *node)
{
    quorate_completion end;
    struct pollfd ready;
    struct timespec now;
    size_t n = 0;

    memset(&end, 0, sizeof end);
    EXPECT(quorate_put(node, bytes("k"), bytes("v"), bytes(""), NULL, 1) == QUORATE_OK);
    ready.fd = quorate_node_fd(node);
    ready.events = POLLIN;
    while (failures == 0 && quorate_reap(node, &end, sizeof end, 1, &n) == QUORATE_AGAIN) {
        EXPECT(poll(&ready, 1, 5000) == 1);
        clock_gettime(CLOCK_MONOTONIC, &now);
        EXPECT(quorate_node_step(node, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, 1, 0, NULL) == QUORATE_OK);
    }
    EXPECT(n == 1 && end.status == QUORATE_OK);
    quorate_completions_clear(&end, sizeof end, 1);
}

/* A program that is started without a fork handler having run finds what there was before the library. */
static void started(const char *program, int before)
{
    char number[16];
    pid_t child;
    int status;

    snprintf(number, sizeof number, "%d", before);
    child = vfork();
    if (child == 0) {
        execl(program, program, "--descriptors", number, (char *)NULL);
        _exit(127);
    }
    EXPECT(child > 0 && waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    quorate_options *options = NULL;
    quorate_node *node, *hosted;
    quorate_completion end;
    struct pollfd completions;
    pid_t child;
    int status, round, before, until_served[2];
    char byte;

    if (argc == 3)
        return descriptors() != atoi(argv[2]);
    if (argc != 2)
        return 64;
    before = descriptors();
    EXPECT(QUORATE_OPTIONS_CREATE(&options) == QUORATE_OK);
    EXPECT(quorate_options_set_bytes(options, QUORATE_OPT_CLIENT_ADDR, bytes("127.0.0.1:0")) == QUORATE_OK);
    hosted = opened(options, QUORATE_MODE_HOST);
    EXPECT(quorate_options_set_bytes(options, QUORATE_OPT_DIR, bytes(argv[1])) == QUORATE_OK);
    node = opened(options, QUORATE_MODE_THREAD);
    EXPECT(quorate_node_start(node, NULL) == QUORATE_OK);
    for (round = 0; round < 3; round++) {
        EXPECT(pipe(until_served) == 0);
        child = fork();
        if (child == 0) {
            failures = 0;
            EXPECT(quorate_node_step(hosted, 0, 0, 0, NULL) == QUORATE_E_FORKED);
            quorate_node_free(hosted);
            refused(options, node);
            close(until_served[1]);
            EXPECT(read(until_served[0], &byte, 1) == 0);
            _exit(failures > 0);
        }
        completions.fd = quorate_completion_fd(node);
        completions.events = POLLIN;
        EXPECT(poll(&completions, 1, 0) == 0);
        EXPECT(quorate_put_sync(node, bytes("k"), bytes("v"), bytes(""), NULL, &end, sizeof end) == QUORATE_OK);
        quorate_completions_clear(&end, sizeof end, 1);
        steps(hosted);
        close(until_served[0]);
        close(until_served[1]);
        EXPECT(child > 0 && waitpid(child, &status, 0) == child);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);

        EXPECT(quorate_get_sync(node, bytes("k"), NULL, &end, sizeof end) == QUORATE_OK);
        EXPECT(end.n_siblings == (uint32_t)round + 1);
        quorate_completions_clear(&end, sizeof end, 1);
        steps(hosted);
    }
    started(argv[0], before);
    EXPECT(quorate_node_stop(node, 0) == QUORATE_OK);
    quorate_node_free(node);
    quorate_node_free(hosted);
    quorate_options_free(options);
    if (failures == 0)
        printf("fork: the child is refused, the parent goes on, a program started from it has nothing of ours\n");
    return failures > 0;
}
