/*
 * A node in a loop of libuv (mode host): a uv_poll_t for its descriptor, a uv_timer_t for its deadline, and a uv_poll_t
 * for its completions. The program's own handles run in the same loop; here a timer writes a key at each tick, and what
 * was written is read back.
 */
#include <quorate.h>

#include <uv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICKS 20
#define TICK_MS 2
#define BUDGET 64

static quorate_node *node;
static uv_poll_t node_poll, completion_poll;
static uv_timer_t deadline_timer, tick_timer;
static int ticks, read_back;

static void check(int ok, const char *what, quorate_status status)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, quorate_status_text(status));
        exit(1);
    }
}

static void check_uv(int result, const char *what)
{
    if (result != 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(result));
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

static uint64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void on_deadline(uv_timer_t *timer);

/* Sets the timer to the node's deadline, which each step moves. uv_hrtime is CLOCK_MONOTONIC, as the node's time is. */
static void follow_deadline(void)
{
    uint64_t now = uv_hrtime(), deadline = quorate_node_deadline(node);

    if (deadline == UINT64_MAX) {
        uv_timer_stop(&deadline_timer);
        return;
    }
    /* A timer counts from the time that the loop last looked at; rounded up, so that the deadline has passed then. */
    uv_update_time(deadline_timer.loop);
    uv_timer_start(&deadline_timer, on_deadline, deadline <= now ? 0 : (deadline - now) / 1000000u + 1, 0);
}

/* One turn. What is over the budget keeps the descriptor readable, so the loop comes back for it. */
static void step(void)
{
    quorate_status status = quorate_node_step(node, uv_hrtime(), wall_ms(), BUDGET, NULL);

    check(status == QUORATE_OK, "step", status);
    follow_deadline();
}

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    step();
}

static void on_node(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)events;
    check_uv(status, "polling the node");
    step();
}

static void submit_get(uint64_t tick)
{
    char key[32];
    quorate_status status;

    sprintf(key, "tick %d", (int)tick);
    status = quorate_get(node, bytes(key), NULL, tick);
    check(status == QUORATE_OK, "get", status);
}

/* A write that has ended is read back; with the last read the loop ends, as none of its handles is left. */
static void on_completions(uv_poll_t *poll, int ready, int events)
{
    quorate_completion ends[16];
    size_t n, i;

    (void)poll, (void)events;
    check_uv(ready, "polling the completions");
    while (quorate_reap(node, ends, sizeof ends[0], 16, &n) == QUORATE_OK) {
        for (i = 0; i < n; i++) {
            check(ends[i].status == QUORATE_OK, "a request", ends[i].status);
            if (ends[i].kind == QUORATE_OP_PUT) {
                submit_get(ends[i].tag);
            } else {
                check(ends[i].n_siblings == 1, "one version", ends[i].status);
                read_back++;
            }
        }
        quorate_completions_clear(ends, sizeof ends[0], n);
    }
    if (read_back == TICKS) {
        uv_close((uv_handle_t *)&node_poll, NULL);
        uv_close((uv_handle_t *)&completion_poll, NULL);
        uv_close((uv_handle_t *)&deadline_timer, NULL);
    }
}

/* The program's own: a submission makes the node's descriptor readable. */
static void on_tick(uv_timer_t *timer)
{
    char key[32];
    quorate_status status;

    sprintf(key, "tick %d", ticks);
    status = quorate_put(node, bytes(key), bytes("value"), bytes(""), NULL, (uint64_t)ticks);
    check(status == QUORATE_OK, "put", status);
    if (++ticks == TICKS)
        uv_close((uv_handle_t *)timer, NULL);
}

static void open_node(void)
{
    quorate_options *options = NULL;
    quorate_status status = QUORATE_OPTIONS_CREATE(&options);

    check(status == QUORATE_OK, "options", status);
    status = quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_HOST);
    check(status == QUORATE_OK, "mode", status);
    status = quorate_node_open(options, &node, NULL);
    check(status == QUORATE_OK, "open", status);
    quorate_options_free(options);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    quorate_status status;

    open_node();
    check_uv(uv_timer_init(loop, &deadline_timer), "uv_timer_init");
    check_uv(uv_timer_init(loop, &tick_timer), "uv_timer_init");
    check_uv(uv_poll_init(loop, &node_poll, quorate_node_fd(node)), "uv_poll_init");
    check_uv(uv_poll_init(loop, &completion_poll, quorate_completion_fd(node)), "uv_poll_init");
    check_uv(uv_poll_start(&node_poll, UV_READABLE, on_node), "uv_poll_start");
    check_uv(uv_poll_start(&completion_poll, UV_READABLE, on_completions), "uv_poll_start");
    check_uv(uv_timer_start(&tick_timer, on_tick, 0, TICK_MS), "uv_timer_start");
    follow_deadline();
    uv_run(loop, UV_RUN_DEFAULT);
    check(read_back == TICKS, "all was read", QUORATE_OK);

    status = quorate_node_stop(node, 0);
    check(status == QUORATE_OK, "stop", status);
    quorate_node_free(node);
    check_uv(uv_loop_close(loop), "uv_loop_close");
    printf("%d written and read at the ticks of a timer\n", TICKS);
    return 0;
}
