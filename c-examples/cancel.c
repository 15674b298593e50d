/*
 * A request that nobody waits for any more: its caller hung up, or found the answer elsewhere. It ends at once instead of
 * at its deadline, and its completion says whether a write may have happened. Two nodes (mode host), of which one falls
 * silent.
 */
#include <quorate.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const names[2] = {"A", "B"};

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
    status = quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_HOST);
    check(status == QUORATE_OK, "mode", status);
    status = quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes(name));
    check(status == QUORATE_OK, "name", status);
    status = quorate_options_set_bytes(options, QUORATE_OPT_MEMBERS, bytes("A,B"));
    check(status == QUORATE_OK, "members", status);
    status = quorate_node_open(options, &node, &error);
    check(status == QUORATE_OK, error.text, status);
    quorate_options_free(options);
    return node;
}

static uint64_t ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One turn of the first `n` nodes, after something happened at one of them. */
static void turn(quorate_node *const *nodes, int n)
{
    struct pollfd fds[2];
    quorate_status status;
    int i;

    for (i = 0; i < n; i++) {
        fds[i].fd = quorate_node_fd(nodes[i]);
        fds[i].events = POLLIN;
    }
    poll(fds, (nfds_t)n, -1);
    for (i = 0; i < n; i++) {
        status = quorate_node_step(nodes[i], ns(CLOCK_MONOTONIC), ns(CLOCK_REALTIME) / 1000000, 0, NULL);
        check(status == QUORATE_OK, "step", status);
    }
}

/* Turns until the first node has a completion. The caller clears it. */
static quorate_completion next(quorate_node *const *nodes, int n)
{
    quorate_completion end;
    quorate_status status;
    size_t found = 0;

    for (;;) {
        status = quorate_reap(nodes[0], &end, sizeof end, 1, &found);
        check(status >= 0, "reap", status);
        if (found == 1)
            return end;
        turn(nodes, n);
    }
}

int main(void)
{
    quorate_node *nodes[2];
    quorate_completion end;
    quorate_status status;
    char address[64];
    int i, j;

    for (i = 0; i < 2; i++)
        nodes[i] = opened(names[i]);
    for (i = 0; i < 2; i++) {
        status = quorate_node_address(nodes[i], QUORATE_ADDRESS_PEER, address, sizeof address, NULL);
        check(status == QUORATE_OK, "address", status);
        for (j = 0; j < 2; j++) {
            status = quorate_node_meet(nodes[j], bytes(names[i]), bytes(address));
            check(status == QUORATE_OK, "meet", status);
        }
    }
    /* Until both are there: a write needs both. */
    do {
        status = quorate_put(nodes[0], bytes("cart"), bytes("milk"), bytes(""), NULL, 1);
        check(status == QUORATE_OK, "put", status);
        end = next(nodes, 2);
        status = end.status;
        quorate_completions_clear(&end, sizeof end, 1);
    } while (status != QUORATE_OK);

    /* From here on B is not turned, so these wait for it. Tag 2 is the caller who hangs up. */
    status = quorate_put(nodes[0], bytes("cart"), bytes("milk, eggs"), bytes(""), NULL, 2);
    check(status == QUORATE_OK, "put", status);
    status = quorate_get(nodes[0], bytes("cart"), NULL, 3);
    check(status == QUORATE_OK, "get", status);
    turn(nodes, 1);
    for (i = 2; i <= 3; i++) {
        status = quorate_cancel(nodes[0], (uint64_t)i);
        check(status == QUORATE_OK, "cancel", status);
    }
    /* Each has its one completion all the same: until then the tag is taken, and a place in the window. */
    for (i = 2; i <= 3; i++) {
        end = next(nodes, 1);
        check(end.status == QUORATE_E_CANCELLED, "a cancelled request", end.status);
        printf("tag %d is cancelled%s\n", (int)end.tag,
               end.flags & QUORATE_F_UNCERTAIN ? "; it may have happened: read before you write it again" : "");
        quorate_completions_clear(&end, sizeof end, 1);
    }

    /* B is back. What was sent to it was not taken back. */
    status = quorate_get(nodes[0], bytes("cart"), NULL, 4);
    check(status == QUORATE_OK, "get", status);
    end = next(nodes, 2);
    check(end.status == QUORATE_OK && end.n_siblings >= 1, "a read", end.status);
    printf("it did happen: %u versions\n", (unsigned)end.n_siblings);
    quorate_completions_clear(&end, sizeof end, 1);
    for (i = 0; i < 2; i++)
        quorate_node_free(nodes[i]);
    return 0;
}
