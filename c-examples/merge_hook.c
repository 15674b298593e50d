/*
 * A merge function of the host: one node in this process, records in memory.
 *
 * A reservation is a text "seats WHO", and two clerks reserve at once. The program says what two reservations
 * mean together: all of them, the larger first. Reads then show one value; it is stored when it is written back
 * with the context of the read.
 */
#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGER_FIRST 0 /* the number under which the function is registered */

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

/* The number at the start. Values have a length and no end mark. */
static long seats(const quorate_bytes *value)
{
    long number = 0;
    size_t at;

    for (at = 0; at < value->len && at < 6 && value->data[at] >= '0' && value->data[at] <= '9'; at++)
        number = 10 * number + (value->data[at] - '0');
    return number;
}

/* Orders by the number at the start, then by the text: every node and every read comes to the same. */
static int larger_first(const void *one, const void *other)
{
    const quorate_bytes *a = one, *b = other;
    size_t shorter = a->len < b->len ? a->len : b->len;
    int order = shorter ? memcmp(a->data, b->data, shorter) : 0;

    if (seats(a) != seats(b))
        return seats(a) < seats(b) ? 1 : -1;
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* Runs on the thread of the node. May be called twice, with a larger buffer the second time. */
static int32_t merge(void *user, quorate_bytes key, const quorate_bytes *values, size_t count, uint8_t *buffer,
                     size_t cap, size_t *len)
{
    quorate_bytes *sorted = malloc(count * sizeof *sorted);
    size_t i, at = 0;

    (void)key;
    ++*(int *)user;
    if (sorted == NULL)
        return 1; /* the siblings are shown as they are */
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, larger_first);
    for (i = 0; i < count; i++) {
        if (at + sorted[i].len < cap) {
            memcpy(buffer + at, sorted[i].data, sorted[i].len);
            buffer[at + sorted[i].len] = ';';
        }
        at += sorted[i].len + 1;
    }
    free(sorted);
    *len = at;
    return 0;
}

static void put(quorate_node *node, const char *value, quorate_bytes context)
{
    quorate_completion end;
    quorate_status status;

    status = quorate_put_sync(node, bytes("table 7"), bytes(value), context, NULL, &end, sizeof end);
    check(status == QUORATE_OK, "put", status);
    quorate_completions_clear(&end, sizeof end, 1);
}

int main(void)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_call call;
    quorate_completion end;
    quorate_bytes none;
    quorate_status status;
    int calls = 0;

    memset(&none, 0, sizeof none);
    status = QUORATE_OPTIONS_CREATE(&options);
    check(status == QUORATE_OK, "options", status);
    status = quorate_node_open(options, &node, NULL);
    check(status == QUORATE_OK, "open", status);
    quorate_options_free(options);

    /* Before the node is started. `calls` lives longer than the node, so nothing needs to be dropped. */
    status = quorate_merge_register(node, LARGER_FIRST, merge, &calls, NULL);
    check(status == QUORATE_OK, "register", status);
    status = quorate_node_start(node, NULL);
    check(status == QUORATE_OK, "start", status);

    /* Neither clerk has seen the other's reservation: both stay. */
    put(node, "2 ann", none);
    put(node, "4 bob", none);

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.view = QUORATE_VIEW_HOST + LARGER_FIRST;
    status = quorate_get_sync(node, bytes("table 7"), &call, &end, sizeof end);
    check(status == QUORATE_OK, "get", status);
    check(end.n_siblings == 1 && (end.flags & QUORATE_N_MERGED) != 0, "it must be merged", status);
    printf("%.*s\n", (int)end.siblings[0].value.len, (const char *)end.siblings[0].value.data);
    check(end.siblings[0].value.len == 12 && memcmp(end.siblings[0].value.data, "4 bob;2 ann;", 12) == 0,
          "the larger must come first", status);

    /* What was shown becomes what is stored; the context says which versions it replaces. */
    put(node, "4 bob;2 ann;", end.context);
    quorate_completions_clear(&end, sizeof end, 1);
    status = quorate_get_sync(node, bytes("table 7"), NULL, &end, sizeof end);
    check(status == QUORATE_OK && end.n_siblings == 1, "one version must be left", status);
    quorate_completions_clear(&end, sizeof end, 1);

    status = quorate_node_stop(node, 1000000000u);
    check(status == QUORATE_OK, "stop", status);
    quorate_node_free(node);
    printf("merged by %d call\n", calls);
    return 0;
}
