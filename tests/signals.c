/*
 * Signals belong to the program: whatever the other side of a socket does, no SIGPIPE comes, no handler is installed or
 * changed, the library's threads have every signal blocked, and a storm of them disturbs nothing. Each holds in mode
 * thread and in mode host. The argument is an empty directory. Run by scripts/c-tests.sh.
 */
#include "expect.h"

#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SIGNALS 65
#define BIG (4 << 20)

static volatile sig_atomic_t alarms;

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void count_alarm(int number)
{
    (void)number;
    alarms++;
}

/* What a signal does at present, as far as glibc fills it in. */
typedef struct disposition {
    void (*handler)(int);
    int flags;
    int masked[SIGNALS];
} disposition;

static void dispositions(disposition *table)
{
    struct sigaction action;
    int number, other;

    for (number = 1; number < SIGNALS; number++) {
        /* Two are glibc's own, and refused. */
        if (sigaction(number, NULL, &action) != 0)
            continue;
        table[number].handler = action.sa_handler;
        table[number].flags = action.sa_flags;
        for (other = 1; other < SIGNALS; other++)
            table[number].masked[other] = sigismember(&action.sa_mask, other);
    }
}

/* A mask of signals of one thread, from its status file. */
static unsigned long long mask(const char *task, const char *name)
{
    char path[300], line[200];
    unsigned long long found = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    file = fopen(path, "r");
    /* It may have ended meanwhile. */
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            found = strtoull(line + strlen(name) + 1, NULL, 16);
    fclose(file);
    return found;
}

/* Every thread but this one blocks all that can be blocked, and no signal waits for it. Returns how many there are. */
static int library_threads(void)
{
    char own[32];
    unsigned long long all;
    sigset_t full, before;
    struct dirent *entry;
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    snprintf(own, sizeof own, "%ld", (long)getpid());
    sigfillset(&full);
    pthread_sigmask(SIG_SETMASK, &full, &before);
    all = mask(own, "SigBlk");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    while ((entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, own) == 0)
            continue;
        EXPECT(mask(entry->d_name, "SigBlk") == all);
        EXPECT(mask(entry->d_name, "SigPnd") == 0);
        count++;
    }
    closedir(tasks);
    return count;
}

/* One turn of a node that this program drives; a moment for one that it does not. */
static void turn(quorate_node *node, int is_host)
{
    struct pollfd ready;

    if (is_host)
        EXPECT(quorate_node_step(node, now_ns(CLOCK_MONOTONIC), now_ns(CLOCK_REALTIME) / 1000000, 0, NULL) == QUORATE_OK);
    ready.fd = is_host ? quorate_node_fd(node) : quorate_completion_fd(node);
    ready.events = POLLIN;
    poll(&ready, 1, 1);
}

static void put(quorate_node *node, int is_host, const char *key, quorate_bytes value)
{
    quorate_completion end;
    quorate_call call;
    size_t n = 0;

    memset(&end, 0, sizeof end);
    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.blind = QUORATE_BLIND_SUPERSEDE;
    EXPECT(quorate_put(node, bytes(key), value, bytes(""), &call, 1) == QUORATE_OK);
    while (quorate_reap(node, &end, sizeof end, 1, &n) == QUORATE_AGAIN)
        turn(node, is_host);
    EXPECT(n == 1 && end.status == QUORATE_OK);
    quorate_completions_clear(&end, sizeof end, 1);
}

static int connected(quorate_node *node, const char *path)
{
    struct sockaddr_in internet;
    struct sockaddr_un local;
    char address[64] = "";
    int client;

    if (path != NULL) {
        memset(&local, 0, sizeof local);
        local.sun_family = AF_UNIX;
        snprintf(local.sun_path, sizeof local.sun_path, "%s", path);
        client = socket(AF_UNIX, SOCK_STREAM, 0);
        EXPECT(connect(client, (struct sockaddr *)&local, sizeof local) == 0);
        return client;
    }
    EXPECT(quorate_node_address(node, QUORATE_ADDRESS_CLIENT, address, sizeof address, NULL) == QUORATE_OK);
    memset(&internet, 0, sizeof internet);
    internet.sin_family = AF_INET;
    internet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    internet.sin_port = htons((uint16_t)atoi(strrchr(address, ':') == NULL ? "0" : strrchr(address, ':') + 1));
    client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(connect(client, (struct sockaddr *)&internet, sizeof internet) == 0);
    return client;
}

/* Clients that ask for more than a socket holds and go: before the answer, and in the middle of it. */
static void clients_that_go(quorate_node *node, int is_host, const char *path)
{
    static const char ask[] = "GET big\r\nGET big\r\nGET big\r\n";
    struct linger at_once = {1, 0};
    char answer[1000];
    int round, turns, client;

    for (round = 0; round < 40; round++) {
        client = connected(node, round % 2 ? path : NULL);
        setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        EXPECT(send(client, ask, sizeof ask - 1, MSG_NOSIGNAL) == (ssize_t)sizeof ask - 1);
        for (turns = 0; turns < round % 8; turns++)
            turn(node, is_host);
        if (round % 4 > 1)
            EXPECT(recv(client, answer, sizeof answer, MSG_DONTWAIT) != 0);
        close(client);
        for (turns = 0; turns < 4; turns++)
            turn(node, is_host);
    }
}

/* A node from its opening to its end, in one mode. */
static void life(uint64_t mode, const char *folder, const char *path, quorate_bytes big)
{
    int is_host = mode == QUORATE_MODE_HOST;
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_completion none;
    uint64_t until;
    size_t n;
    int round;

    EXPECT(QUORATE_OPTIONS_CREATE(&options) == QUORATE_OK);
    EXPECT(quorate_options_set_u64(options, QUORATE_OPT_MODE, mode) == QUORATE_OK);
    EXPECT(quorate_options_set_u64(options, QUORATE_OPT_SYNC, QUORATE_SYNC_ALWAYS) == QUORATE_OK);
    /* A disk may be slow; that is not what is looked at. */
    EXPECT(quorate_options_set_u64(options, QUORATE_OPT_TIMEOUT_MS, 60000) == QUORATE_OK);
    EXPECT(quorate_options_set_u64(options, QUORATE_OPT_REPLICA_TIMEOUT_MS, 60000) == QUORATE_OK);
    EXPECT(quorate_options_set_bytes(options, QUORATE_OPT_DIR, bytes(folder)) == QUORATE_OK);
    EXPECT(quorate_options_set_bytes(options, QUORATE_OPT_UNIX_PATH, bytes(path)) == QUORATE_OK);
    EXPECT(quorate_options_set_bytes(options, QUORATE_OPT_CLIENT_ADDR, bytes("127.0.0.1:0")) == QUORATE_OK);
    EXPECT(quorate_node_open(options, &node, NULL) == QUORATE_OK);
    quorate_options_free(options);
    if (node == NULL)
        return;
    if (!is_host)
        EXPECT(quorate_node_start(node, NULL) == QUORATE_OK);
    for (round = 0; round < 100; round++)
        put(node, is_host, "small", bytes("value"));
    if (big.len > 0) {
        put(node, is_host, "big", big);
        clients_that_go(node, is_host, path);
        put(node, is_host, "small", bytes("still served"));
    }
    if (!is_host) {
        /* A wait that a signal interrupts goes on. The descriptor may be readable once with nothing behind it. */
        until = now_ns(CLOCK_MONOTONIC) + 50000000;
        while (failures == 0 && quorate_wait(node, 50000000) == QUORATE_OK)
            EXPECT(quorate_reap(node, &none, sizeof none, 1, &n) == QUORATE_AGAIN);
        EXPECT(now_ns(CLOCK_MONOTONIC) >= until);
    }
    /* The log has a thread of its own, and so has mode thread. */
    EXPECT(library_threads() >= (is_host ? 1 : 2));
    EXPECT(quorate_node_stop(node, 0) == QUORATE_OK);
    quorate_node_free(node);
}

int main(int argc, char **argv)
{
    static disposition before[SIGNALS], after[SIGNALS];
    struct sigaction handler;
    struct sigevent event;
    struct itimerspec each;
    timer_t timer;
    quorate_bytes big;
    uint8_t *room;
    char folder[200], path[100];
    uint32_t mode;

    if (argc != 2)
        return 64;
    /* As a program finds it, whatever its parent has done. A handler that restarts nothing meets every wait. */
    signal(SIGPIPE, SIG_DFL);
    memset(&handler, 0, sizeof handler);
    handler.sa_handler = count_alarm;
    sigaction(SIGALRM, &handler, NULL);
    dispositions(before);
    room = calloc(BIG, 1);
    big.data = room;
    big.len = BIG;
    snprintf(path, sizeof path, "%s/socket", argv[1]);
    for (mode = QUORATE_MODE_THREAD; mode <= QUORATE_MODE_HOST; mode++) {
        snprintf(folder, sizeof folder, "%s/data %u", argv[1], mode);
        life(mode, folder, path, big);
    }

    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGALRM;
    memset(&each, 0, sizeof each);
    each.it_value.tv_nsec = each.it_interval.tv_nsec = 1000000;
    EXPECT(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &each, NULL) == 0);
    for (mode = QUORATE_MODE_THREAD; mode <= QUORATE_MODE_HOST; mode++) {
        snprintf(folder, sizeof folder, "%s/storm %u", argv[1], mode);
        life(mode, folder, path, bytes(""));
    }
    timer_delete(timer);
    EXPECT(alarms > 50);

    dispositions(after);
    EXPECT(memcmp(before, after, sizeof before) == 0);
    free(room);
    if (failures == 0)
        printf("signals: none was taken, changed or caused, in %d alarms\n", (int)alarms);
    return failures > 0;
}
