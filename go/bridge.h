/*
 * What Go cannot hand to quorate.h as it is: memory of Go that is passed to C may hold no pointer to other memory
 * of Go, so texts come one behind the other in one buffer, with their lengths beside it. Only the log calls Go.
 */
#ifndef QUORATE_GO_BRIDGE_H
#define QUORATE_GO_BRIDGE_H

#include <poll.h>
#include <quorate.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* A line of a node's log, and its end. */
extern void quorateLogLine(uintptr_t user, uint32_t level, quorate_bytes target, quorate_bytes text);
extern void quorateLogDrop(uintptr_t user);

static inline void log_line(void *user, uint32_t level, quorate_bytes target, quorate_bytes text)
{
    quorateLogLine((uintptr_t)user, level, target, text);
}

static inline void log_drop(void *user)
{
    quorateLogDrop((uintptr_t)user);
}

/* Has Go take the log. */
static inline quorate_status set_log(quorate_options *options, uint32_t level, uintptr_t user)
{
    return quorate_options_set_log(options, level, log_line, (void *)user, log_drop);
}

/* One request of a batch; key, value and context are the next bytes of the buffer. */
typedef struct packed_op {
    uint32_t kind;
    uint32_t has_call;
    uint64_t tag;
    size_t key, value, context;
    quorate_call call;
} packed_op;

/* What a call that counts came to. */
typedef struct counted {
    quorate_status status;
    size_t n;
} counted;

static inline quorate_bytes next_bytes(const uint8_t **at, size_t len)
{
    quorate_bytes out;
    out.data = *at;
    out.len = len;
    *at += len;
    return out;
}

/* Submits a batch, up to the first that is refused; says how many were accepted. */
static inline counted submit_packed(quorate_node *node, const packed_op *packed, size_t n, const uint8_t *bytes)
{
    enum { AT_ONCE = 64 };
    quorate_op ops[AT_ONCE];
    counted out = {QUORATE_OK, 0};
    size_t i, some, accepted;

    while (out.status == QUORATE_OK && out.n < n) {
        some = n - out.n < AT_ONCE ? n - out.n : AT_ONCE;
        memset(ops, 0, some * sizeof *ops);
        for (i = 0; i < some; i++) {
            const packed_op *from = &packed[out.n + i];
            ops[i].kind = from->kind;
            ops[i].tag = from->tag;
            ops[i].key = next_bytes(&bytes, from->key);
            ops[i].value = next_bytes(&bytes, from->value);
            ops[i].context = next_bytes(&bytes, from->context);
            ops[i].call = from->has_call ? &from->call : NULL;
        }
        out.status = quorate_submit(node, ops, sizeof *ops, some, &accepted);
        out.n += accepted;
    }
    return out;
}

/* Submits a change of a set. */
static inline quorate_status set_packed(quorate_node *node, int remove, quorate_bytes key, const size_t *lengths,
                                        size_t n, const uint8_t *bytes, const quorate_call *call, uint64_t tag)
{
    quorate_bytes *members = malloc((n + 1) * sizeof *members);
    quorate_status status;
    size_t i;

    if (members == NULL)
        return QUORATE_E_NOMEM;
    for (i = 0; i < n; i++)
        members[i] = next_bytes(&bytes, lengths[i]);
    status = remove ? quorate_set_remove(node, key, members, n, call, tag)
                    : quorate_set_add(node, key, members, n, call, tag);
    free(members);
    return status;
}

/* Submits an order. */
static inline quorate_status order_packed(quorate_node *node, uint32_t kind, quorate_bytes name, quorate_bytes other,
                                          uint64_t number, uint64_t tag)
{
    quorate_order order;

    memset(&order, 0, sizeof order);
    order.struct_size = sizeof order;
    order.kind = kind;
    order.name = name;
    order.other = other;
    order.number = number;
    return quorate_cluster_order(node, &order, tag);
}

/* Frees what the first `done` completions own and takes the next ones that there are, in one crossing. */
static inline counted reap_now(quorate_node *node, quorate_completion *array, size_t capacity, size_t done)
{
    counted out;

    quorate_completions_clear(array, sizeof *array, done);
    out.status = quorate_reap(node, array, sizeof *array, capacity, &out.n);
    return out;
}

/*
 * The same, but it takes none only when the descriptor is quiet. That is polled by level, and the poller of Go hears
 * edges: a reap in the middle of an announcement may leave the descriptor readable with nothing behind it, and then the
 * next completion makes no edge.
 */
static inline counted reap_until_quiet(quorate_node *node, quorate_completion *array, size_t capacity, size_t done)
{
    struct pollfd event;
    counted out = reap_now(node, array, capacity, done);

    event.fd = quorate_completion_fd(node);
    event.events = POLLIN;
    while ((out.status == QUORATE_AGAIN || out.status == QUORATE_E_PANIC) && poll(&event, 1, 0) == 1) {
        sched_yield();
        out = reap_now(node, array, capacity, 0);
    }
    return out;
}

#endif
