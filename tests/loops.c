/*
 * One workload under every loop that a program may have: poll, select, epoll (level and edge triggered), libuv, one
 * that follows the descriptor alone and knows no deadline, and one that polls nothing and steps each millisecond.
 *
 * Three nodes are stepped with random budgets of 1 to 64: A and B are a cluster of two, so that each of their requests
 * goes over sockets; C keeps its records on disk, so that its writes end with a word of the library's worker thread. A
 * Redis client of A is a socket of the same loop. Requests come in bursts, and all is quiet in between: a wake-up that
 * is lost is a stall, and one of a second fails and names the loop. So does a node that keeps a loop busy with nothing.
 *
 * Edge triggered is not supported: quorate_node_step leaves the descriptor readable while work is left, which is no
 * edge. A loop with the deadline as its timeout gets everywhere all the same.
 *
 * Arguments: an empty directory, and how many steps each loop makes (10000). Run by scripts/c-tests.sh, which
 * defines WITH_LIBUV where libuv is. Linux, as the library.
 */
#include <quorate.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_LIBUV
#include <uv.h>
#endif

#define NODES 3
#define CLIENT NODES /* its place among the descriptors */
#define FDS (NODES + 1)
#define BURST_MAX 32
#define KINDS 3 /* reads, deletes, writes */
#define VALUE_MAX (600u << 10) /* more than a socket and one read take */
#define STALL_NS 1000000000u
#define STALL_TURNS 10 /* or it is this program that did not run */
#define WAIT_MS 50
#define QUIET_NS 300000000u
#define QUIET_STEPS_MAX 200

/* How a loop waits: marks what is ready, after `limit_ms` at the latest. */
struct loop {
    const char *name;
    void (*open)(void);
    void (*wait)(int limit_ms);
    void (*close)(void);
    int knows_deadlines;
    int asks_nothing; /* it steps every node, each time */
};

static const struct loop *loop;
static quorate_node *nodes[NODES];
static int fds[FDS], ready[FDS];
static long steps, outstanding, ended, replies, large, idle;
static int muted; /* the node that is not stepped, or NODES */
static uint64_t progress, longest, rng = 1;
static char text[VALUE_MAX];

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "loops: %s: %s: %s (step %ld, %ld outstanding, %ld ended)\n", loop->name, what, why, steps,
            outstanding, ended);
    exit(1);
}

static void check(int ok, const char *what, quorate_status status)
{
    if (!ok)
        fail(what, quorate_status_text(status));
}

static void check_system(int ok, const char *what)
{
    if (!ok)
        fail(what, strerror(errno));
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t below(uint32_t limit)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) % limit;
}

static quorate_bytes bytes(const char *data, size_t len)
{
    quorate_bytes out;
    out.data = (const uint8_t *)data;
    out.len = len;
    return out;
}

/* ---- the loops --------------------------------------------------------------------------------------------------- */

/* Until the first deadline in milliseconds, rounded up; `limit_ms` for loops that know none. */
static int timeout_ms(int limit_ms)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC), deadline, left;
    int at;

    for (at = 0; at < NODES && loop->knows_deadlines; at++) {
        deadline = quorate_node_deadline(nodes[at]);
        left = deadline <= now ? 0 : (deadline - now) / 1000000u + 1;
        if (left < (uint64_t)limit_ms)
            limit_ms = (int)left;
    }
    return limit_ms;
}

static void nothing(void)
{
}

static void poll_wait(int limit_ms)
{
    struct pollfd entries[FDS];
    int at;

    for (at = 0; at < FDS; at++) {
        entries[at].fd = fds[at];
        entries[at].events = POLLIN;
    }
    check_system(poll(entries, FDS, timeout_ms(limit_ms)) >= 0, "poll");
    for (at = 0; at < FDS; at++)
        ready[at] = entries[at].revents != 0;
}

static void select_wait(int limit_ms)
{
    int at, top = 0, timeout = timeout_ms(limit_ms);
    struct timeval time;
    fd_set set;

    time.tv_sec = timeout / 1000;
    time.tv_usec = timeout % 1000 * 1000;
    FD_ZERO(&set);
    for (at = 0; at < FDS; at++) {
        FD_SET(fds[at], &set);
        top = fds[at] > top ? fds[at] : top;
    }
    check_system(select(top + 1, &set, NULL, NULL, &time) >= 0, "select");
    for (at = 0; at < FDS; at++)
        ready[at] = FD_ISSET(fds[at], &set) != 0;
}

static int epoll;

static void epoll_open_as(uint32_t how)
{
    struct epoll_event event;
    int at;

    memset(&event, 0, sizeof event);
    check_system((epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0, "epoll_create1");
    for (at = 0; at < FDS; at++) {
        event.events = EPOLLIN | how;
        event.data.u32 = (uint32_t)at;
        check_system(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[at], &event) == 0, "epoll_ctl");
    }
}

static void epoll_open(void)
{
    epoll_open_as(0);
}

static void edge_open(void)
{
    epoll_open_as(EPOLLET);
}

static void epoll_close(void)
{
    close(epoll);
}

static void epoll_wait_for(int limit_ms)
{
    struct epoll_event events[FDS];
    int n, at;

    check_system((n = epoll_wait(epoll, events, FDS, timeout_ms(limit_ms))) >= 0, "epoll_wait");
    for (at = 0; at < n; at++)
        ready[events[at].data.u32] = 1;
}

static void sleep_wait(int limit_ms)
{
    struct timespec pause = {0, 1000000};
    int at;

    (void)limit_ms;
    nanosleep(&pause, NULL);
    for (at = 0; at < FDS; at++)
        ready[at] = 1;
}

#ifdef WITH_LIBUV
static uv_loop_t uv;
static uv_poll_t uv_fds[FDS];
static uv_timer_t uv_timer;

static void uv_on_fd(uv_poll_t *handle, int status, int events)
{
    (void)status, (void)events;
    ready[handle - uv_fds] = 1;
}

static void uv_on_timer(uv_timer_t *handle)
{
    (void)handle;
}

static void uv_open(void)
{
    int at;

    uv_loop_init(&uv);
    uv_timer_init(&uv, &uv_timer);
    for (at = 0; at < FDS; at++) {
        uv_poll_init(&uv, &uv_fds[at], fds[at]);
        uv_poll_start(&uv_fds[at], UV_READABLE, uv_on_fd);
    }
}

static void uv_wait(int limit_ms)
{
    uv_update_time(&uv);
    uv_timer_start(&uv_timer, uv_on_timer, (uint64_t)timeout_ms(limit_ms), 0);
    uv_run(&uv, UV_RUN_ONCE);
}

static void uv_shut(void)
{
    int at;

    for (at = 0; at < FDS; at++)
        uv_close((uv_handle_t *)&uv_fds[at], NULL);
    uv_close((uv_handle_t *)&uv_timer, NULL);
    uv_run(&uv, UV_RUN_DEFAULT);
    uv_loop_close(&uv);
}
#endif

static const struct loop loops[] = {
    {"poll", nothing, poll_wait, nothing, 1, 0},
    {"select", nothing, select_wait, nothing, 1, 0},
    {"epoll, level triggered", epoll_open, epoll_wait_for, epoll_close, 1, 0},
    {"epoll, edge triggered", edge_open, epoll_wait_for, epoll_close, 1, 0},
#ifdef WITH_LIBUV
    {"libuv", uv_open, uv_wait, uv_shut, 1, 0},
#endif
    {"the descriptor alone", nothing, poll_wait, nothing, 0, 0},
    {"a step each millisecond", nothing, sleep_wait, nothing, 0, 1},
};

/* ---- the workload ------------------------------------------------------------------------------------------------ */

static void step(int at)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    quorate_status status =
        quorate_node_step(nodes[at], now, clock_ns(CLOCK_REALTIME) / 1000000u, 1 + below(64), NULL);
    check(status == QUORATE_OK, "step", status);
    steps++;
}

static void note(long count)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);

    outstanding -= count;
    ended += count;
    longest = now - progress > longest ? now - progress : longest;
    progress = now;
    idle = 0;
    if (outstanding < 0)
        fail("completions", "more than requests");
}

static void reap(int at)
{
    quorate_completion ends[16];
    size_t n, i;

    while (quorate_reap(nodes[at], ends, sizeof ends[0], 16, &n) == QUORATE_OK) {
        for (i = 0; i < n; i++)
            check(ends[i].status == QUORATE_OK || ends[i].status == QUORATE_E_NOTFOUND || muted != NODES, "a request",
                  ends[i].status);
        note((long)n);
        quorate_completions_clear(ends, sizeof ends[0], n);
    }
}

/* Each command of the Redis client is answered by a line. */
static void read_replies(void)
{
    char buffer[256];
    ssize_t got, at;
    long lines = 0;

    while ((got = recv(fds[CLIENT], buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
        for (at = 0; at < got; at++)
            lines += buffer[at] == '\n';
    check_system(got < 0 && (errno == EAGAIN || errno == EINTR), "the Redis client is cut off");
    replies += lines;
    if (lines > 0)
        note(lines);
}

/* Waits as the loop does, and steps whom it would. */
static void turn(void)
{
    uint64_t now, due;
    int at;

    memset(ready, 0, sizeof ready);
    loop->wait(WAIT_MS);
    idle++;
    for (at = 0; at < NODES; at++) {
        now = clock_ns(CLOCK_MONOTONIC);
        due = loop->knows_deadlines ? quorate_node_deadline(nodes[at]) : UINT64_MAX;
        if (at != muted && (ready[at] || due <= now))
            step(at);
        reap(at);
    }
    /* An edge is told once, so the socket is read empty. */
    if (ready[CLIENT])
        read_replies();
}

static void submit(int at, uint32_t kind, uint64_t timeout_ns)
{
    const quorate_bytes none = {NULL, 0};
    quorate_call call;
    quorate_status status;
    char key[32];
    size_t len = (size_t)sprintf(key, "key %u", below(100)), size = below(100);

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.timeout_ns = timeout_ns;
    call.blind = QUORATE_BLIND_SUPERSEDE;
    if (below(100) == 0) {
        size = VALUE_MAX;
        large++;
    }
    switch (kind) {
    case 0:
        status = quorate_get(nodes[at], bytes(key, len), &call, 0);
        break;
    case 1:
        status = quorate_delete(nodes[at], bytes(key, len), none, &call, 0);
        break;
    default:
        status = quorate_put(nodes[at], bytes(key, len), bytes(text, size), none, &call, 0);
    }
    check(status == QUORATE_OK, "submitting", status);
    outstanding++;
}

static void burst(void)
{
    static const char command[] = "SET redis value\r\n";
    int at = (int)below(FDS);
    uint32_t left, kind = below(KINDS + 1); /* all of a kind, or mixed */

    for (left = 1 + below(below(4) == 0 ? BURST_MAX : 4); left > 0; left--) {
        if (at != CLIENT) {
            submit(at, kind < KINDS ? kind : below(KINDS), 20u * 1000000000u); /* what stalls is to be seen as that */
        } else {
            check_system(send(fds[CLIENT], command, sizeof command - 1, 0) == (ssize_t)sizeof command - 1, "send");
            outstanding++;
        }
    }
    progress = clock_ns(CLOCK_MONOTONIC);
    idle = 0;
    if (at != CLIENT) {
        struct pollfd entry = {fds[at], POLLIN, 0};
        if (poll(&entry, 1, 0) != 1)
            fail("a submission", "the descriptor is quiet");
    }
}

/* Turns until nothing is outstanding. */
static void settle(void)
{
    while (outstanding > 0) {
        turn();
        if (outstanding > 0 && idle > STALL_TURNS && clock_ns(CLOCK_MONOTONIC) - progress > STALL_NS)
            fail("a stall", "no request has ended for a second");
    }
}

/* Requests that end by their deadline alone, as the other member is silent. */
static void expire(void)
{
    muted = 1;
    submit(0, 2, 10000000u);
    progress = clock_ns(CLOCK_MONOTONIC);
    idle = 0;
    settle();
    muted = NODES;
}

/* While nothing is asked, a node steps for its timers alone. */
static void rest(void)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + QUIET_NS;
    long before = steps, turns = 0;

    while (clock_ns(CLOCK_MONOTONIC) < until) {
        turn();
        turns++;
    }
    if (!loop->asks_nothing && (steps - before > QUIET_STEPS_MAX || turns > QUIET_STEPS_MAX))
        fail("rest", "a node keeps the loop busy with nothing to do");
}

/* ---- the nodes --------------------------------------------------------------------------------------------------- */

static quorate_node *open_node(const char *name, const char *members, const char *directory)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_error error;
    quorate_status status;

    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    status = QUORATE_OPTIONS_CREATE(&options);
    if (status == QUORATE_OK)
        status = quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_HOST);
    if (status == QUORATE_OK)
        status = quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes(name, strlen(name)));
    if (status == QUORATE_OK && members != NULL)
        status = quorate_options_set_bytes(options, QUORATE_OPT_MEMBERS, bytes(members, strlen(members)));
    if (status == QUORATE_OK && name[0] == 'A')
        status = quorate_options_add_bytes(options, QUORATE_OPT_CLIENT_ADDR, bytes("127.0.0.1:0", 11));
    if (status == QUORATE_OK && directory != NULL) {
        status = quorate_options_set_bytes(options, QUORATE_OPT_DIR, bytes(directory, strlen(directory)));
        if (status == QUORATE_OK)
            status = quorate_options_set_u64(options, QUORATE_OPT_SYNC, QUORATE_SYNC_ALWAYS);
        if (status == QUORATE_OK)
            status = quorate_options_set_u64(options, QUORATE_OPT_SEGMENT_BYTES, 4u << 20);
    }
    check(status == QUORATE_OK, "an option", status);
    status = quorate_node_open(options, &node, &error);
    check(status == QUORATE_OK, error.text, status);
    quorate_options_free(options);
    return node;
}

static void address_of(int at, uint32_t which, char *out, size_t size)
{
    size_t len;
    quorate_status status = quorate_node_address(nodes[at], which, out, size, &len);
    check(status == QUORATE_OK, "an address", status);
}

static int connect_client(void)
{
    struct sockaddr_in to;
    char address[64], *port;
    int client;

    address_of(0, QUORATE_ADDRESS_CLIENT, address, sizeof address);
    port = strrchr(address, ':');
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)atoi(port + 1));
    client = socket(AF_INET, SOCK_STREAM, 0);
    check_system(client >= 0 && connect(client, (struct sockaddr *)&to, sizeof to) == 0, "connect");
    return client;
}

static void open_nodes(const char *directory)
{
    char address[64];
    quorate_status status;
    int at, other;

    nodes[0] = open_node("A", "A,B", NULL);
    nodes[1] = open_node("B", "A,B", NULL);
    nodes[2] = open_node("C", NULL, directory);
    for (at = 0; at < 2; at++) {
        address_of(at, QUORATE_ADDRESS_PEER, address, sizeof address);
        for (other = 0; other < 2; other++) {
            status = quorate_node_meet(nodes[other], bytes(at ? "B" : "A", 1), bytes(address, strlen(address)));
            check(status == QUORATE_OK, "meeting", status);
        }
    }
    for (at = 0; at < NODES; at++)
        fds[at] = quorate_node_fd(nodes[at]);
    fds[CLIENT] = connect_client();
}

/* Until both members answer a write that needs both. */
static void meet(void)
{
    quorate_completion end;
    const quorate_bytes none = {NULL, 0};
    quorate_status status;
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + 30u * 1000000000u;
    int at, met = 0;
    size_t n;

    for (at = 0; at < 2; at++, met = 0) {
        while (!met) {
            status = quorate_put(nodes[at], bytes("met", 3), none, none, NULL, 0);
            check(status == QUORATE_OK, "submitting", status);
            for (n = 0; n == 0;) {
                int each;
                if (clock_ns(CLOCK_MONOTONIC) > until)
                    fail("meeting", "the members do not reach each other");
                memset(ready, 0, sizeof ready);
                loop->wait(1);
                for (each = 0; each < NODES; each++)
                    step(each);
                status = quorate_reap(nodes[at], &end, sizeof end, 1, &n);
                check(status >= 0, "reap", status);
            }
            met = end.status == QUORATE_OK;
            quorate_completions_clear(&end, sizeof end, 1);
        }
    }
}

static void close_nodes(void)
{
    quorate_status status;
    int at;

    close(fds[CLIENT]);
    for (at = 0; at < NODES; at++) {
        status = quorate_node_stop(nodes[at], 0);
        check(status == QUORATE_OK, "stop", status);
        quorate_node_free(nodes[at]);
    }
}

int main(int count, char **arguments)
{
    const char *parent = count > 1 ? arguments[1] : ".";
    long wanted = count > 2 ? atol(arguments[2]) : 10000;
    char directory[4096];
    size_t at;

    memset(text, 'v', sizeof text);
    for (at = 0; at < sizeof loops / sizeof loops[0]; at++) {
        loop = &loops[at];
        steps = outstanding = ended = replies = large = 0;
        longest = 0;
        muted = NODES;
        snprintf(directory, sizeof directory, "%s/loop %lu", parent, (unsigned long)at);
        check_system(mkdir(directory, 0700) == 0, "mkdir");
        open_nodes(directory);
        loop->open();
        meet();
        while (steps < wanted) {
            burst();
            settle();
            if (below(100) == 0)
                expire();
        }
        rest();
        loop->close();
        close_nodes();
        if (replies == 0 || large == 0)
            fail("the workload", "it was too short to be one");
        printf("loops: %s: %ld steps, %ld requests, at most %u ms without one\n", loop->name, steps, ended,
               (unsigned)(longest / 1000000u));
        fflush(stdout);
    }
    return 0;
}
