/*
 * A key-value server with its own epoll: the node (mode host) is one more descriptor beside the listening socket and
 * those of the clients, and its deadline is the timeout. A line asks, a line answers, in the order that requests end:
 *
 *     put KEY VALUE   ->  KEY ok
 *     get KEY         ->  KEY VALUE, of each sibling; KEY alone if there is none
 *
 * `epoll_server PORT` serves until it is killed (try `nc 127.0.0.1 PORT`). Without a port it takes a free one, and a
 * child process is its client, which ends it.
 */
#include <quorate.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define LINE_MAX 256
#define OUT_MAX 65536
#define BUDGET 64 /* sockets and requests of the node in one turn, so that clients have theirs */

struct client {
    int socket;        /* -1 for a free place */
    uint32_t number;   /* of the connection; a late answer of another one is dropped */
    size_t in, out;    /* bytes of a line that has not ended, and of answers that have not left */
    char line[LINE_MAX];
    char answers[OUT_MAX];
};

/* What epoll tells apart: clients are their places. */
enum { NODE = CLIENTS_MAX, LISTENER };

/* What a completion finds by its tag: who asked, and what. */
struct question {
    struct client *client;
    uint32_t number;
    char key[LINE_MAX];
};

static struct client clients[CLIENTS_MAX];
static int epoll, listener;
static quorate_node *node;
static uint32_t connections;

static void check(int ok, const char *what, quorate_status status)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, quorate_status_text(status));
        exit(1);
    }
}

static void check_system(int ok, const char *what)
{
    if (!ok) {
        perror(what);
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

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Level triggered, which the node's descriptor needs. */
static void watch(int how, int fd, uint32_t events, uint32_t what)
{
    struct epoll_event event;

    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.u32 = what;
    check_system(epoll_ctl(epoll, how, fd, &event) == 0, "epoll_ctl");
}

static void leave(struct client *client)
{
    close(client->socket);
    client->socket = -1;
}

/* Sends what it can, and has epoll tell when the rest can go. */
static void send_answers(struct client *client)
{
    ssize_t sent = send(client->socket, client->answers, client->out, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent < 0 && errno != EAGAIN) {
        leave(client);
        return;
    }
    if (sent > 0) {
        client->out -= (size_t)sent;
        memmove(client->answers, client->answers + sent, client->out);
    }
    watch(EPOLL_CTL_MOD, client->socket, client->out > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN, (uint32_t)(client - clients));
}

static void answer(struct client *client, const char *text, size_t len)
{
    if (client->socket < 0)
        return;
    if (client->out + len > sizeof client->answers) {
        leave(client); /* it asks and does not listen */
        return;
    }
    memcpy(client->answers + client->out, text, len);
    client->out += len;
}

/* Submits what a line asks for. The node copies key and value before the call returns. */
static void ask(struct client *client, char *line)
{
    char *verb = strtok(line, " \r"), *key = strtok(NULL, " \r"), *value = strtok(NULL, "\r");
    quorate_status status = QUORATE_E_ARG;
    quorate_call call;
    struct question *question;
    uint64_t tag;

    if (verb == NULL || key == NULL) {
        answer(client, "? no request\n", 13);
        return;
    }
    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.blind = QUORATE_BLIND_SUPERSEDE; /* nobody here has a context: a put replaces what its coordinator holds */
    question = calloc(1, sizeof *question);
    check_system(question != NULL, "calloc");
    question->client = client;
    question->number = client->number;
    strcpy(question->key, key);
    tag = (uint64_t)(uintptr_t)question;
    if (strcmp(verb, "put") == 0 && value != NULL)
        status = quorate_put(node, bytes(key), bytes(value), bytes(""), &call, tag);
    else if (strcmp(verb, "get") == 0)
        status = quorate_get(node, bytes(key), NULL, tag);
    if (status != QUORATE_OK) { /* it was not taken, so no completion comes */
        answer(client, "? ", 2);
        answer(client, quorate_status_text(status), strlen(quorate_status_text(status)));
        answer(client, "\n", 1);
        free(question);
    }
}

static void read_lines(struct client *client)
{
    char *end;
    ssize_t got = recv(client->socket, client->line + client->in, sizeof client->line - 1 - client->in, MSG_DONTWAIT);
    size_t length;

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        leave(client);
        return;
    }
    client->in += (size_t)got;
    client->line[client->in] = 0;
    while (client->socket >= 0 && (end = memchr(client->line, '\n', client->in)) != NULL) {
        *end = 0;
        length = (size_t)(end - client->line) + 1;
        ask(client, client->line);
        client->in -= length;
        memmove(client->line, client->line + length, client->in);
    }
    if (client->in == sizeof client->line - 1)
        leave(client); /* a line longer than any that we answer */
}

static void accept_client(void)
{
    struct client *client = clients;
    int accepted = accept(listener, NULL, NULL);

    if (accepted < 0)
        return; /* it is gone again */
    while (client < clients + CLIENTS_MAX && client->socket >= 0)
        client++;
    if (client == clients + CLIENTS_MAX) {
        close(accepted);
        return;
    }
    client->socket = accepted;
    client->number = ++connections;
    client->in = client->out = 0;
    watch(EPOLL_CTL_ADD, accepted, EPOLLIN, (uint32_t)(client - clients));
}

/* Answers what has ended. */
static void reap(void)
{
    quorate_completion ends[16];
    size_t n, i, at;

    while (quorate_reap(node, ends, sizeof ends[0], 16, &n) == QUORATE_OK) {
        for (i = 0; i < n; i++) {
            struct question *question = (struct question *)(uintptr_t)ends[i].tag;
            struct client *client = question->client;
            if (client->socket >= 0 && client->number == question->number) {
                answer(client, question->key, strlen(question->key));
                for (at = 0; at < ends[i].n_siblings; at++) {
                    answer(client, " ", 1);
                    answer(client, (const char *)ends[i].siblings[at].value.data, ends[i].siblings[at].value.len);
                }
                if (ends[i].kind != QUORATE_OP_GET || (ends[i].status < 0 && ends[i].status != QUORATE_E_NOTFOUND)) {
                    answer(client, " ", 1);
                    answer(client, quorate_status_text(ends[i].status), strlen(quorate_status_text(ends[i].status)));
                }
                answer(client, "\n", 1);
            }
            free(question);
        }
        quorate_completions_clear(ends, sizeof ends[0], n);
    }
}

/* One turn of the node, at its descriptor or its deadline. */
static void step(void)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    quorate_status status = quorate_node_step(node, now, clock_ns(CLOCK_REALTIME) / 1000000u, BUDGET, NULL);

    check(status == QUORATE_OK, "step", status);
    reap();
}

/* Milliseconds that epoll may wait: rounded up, so that the deadline has passed then; -1 for no end. */
static int timeout_ms(void)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC), deadline = quorate_node_deadline(node), left;

    if (deadline == UINT64_MAX)
        return -1;
    left = deadline <= now ? 0 : (deadline - now) / 1000000u + 1;
    return left < 60000 ? (int)left : 60000;
}

static void serve_once(void)
{
    struct epoll_event events[CLIENTS_MAX];
    int n = epoll_wait(epoll, events, CLIENTS_MAX, timeout_ms()), at, is_due = 0;
    struct client *client;

    check_system(n >= 0 || errno == EINTR, "epoll_wait");
    for (at = 0; at < n; at++) {
        uint32_t what = events[at].data.u32;
        if (what == NODE)
            is_due = 1;
        else if (what == LISTENER)
            accept_client();
        else if (clients[what].socket >= 0)
            read_lines(&clients[what]);
    }
    if (is_due || quorate_node_deadline(node) <= clock_ns(CLOCK_MONOTONIC))
        step();
    for (client = clients; client < clients + CLIENTS_MAX; client++)
        if (client->socket >= 0 && client->out > 0)
            send_answers(client);
}

/* The client of the example: puts, then gets, all sent before the first answer is read. */
static int talk(struct sockaddr_in to)
{
    int round, i, line = 0, connection = socket(AF_INET, SOCK_STREAM, 0);
    FILE *out, *in;
    char text[LINE_MAX], expected[LINE_MAX];

    check_system(connection >= 0 && connect(connection, (struct sockaddr *)&to, sizeof to) == 0, "connect");
    out = fdopen(connection, "w");
    in = fdopen(dup(connection), "r");
    check_system(out != NULL && in != NULL, "fdopen");
    for (round = 0; round < 2; round++) {
        for (i = 0; i < 100; i++)
            fprintf(out, round == 0 ? "put key%d value %d\n" : "get key%d\n", i, i);
        fflush(out);
        for (i = 0; i < 100; i++) {
            if (fgets(text, sizeof text, in) == NULL)
                return 1;
            sprintf(expected, round == 0 ? "key%d ok\n" : "key%d value %d\n", i, i);
            line += strcmp(text, expected) == 0;
        }
    }
    fclose(out);
    fclose(in);
    printf("%d lines asked, %d answered\n", 200, line);
    return line != 200;
}

/* A line of the node's log, from inside of quorate_node_step. It may not call the node. */
static void told(void *user, uint32_t level, quorate_bytes target, quorate_bytes text)
{
    (void)user;
    fprintf(stderr, "%s %.*s: %.*s\n", level == QUORATE_LOG_ERROR ? "error" : "warning", (int)target.len,
            (const char *)target.data, (int)text.len, (const char *)text.data);
}

static void open_node(void)
{
    quorate_options *options = NULL;
    quorate_status status = QUORATE_OPTIONS_CREATE(&options);

    check(status == QUORATE_OK, "options", status);
    status = quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_HOST);
    check(status == QUORATE_OK, "mode", status);
    status = quorate_options_set_log(options, QUORATE_LOG_WARN, told, NULL, NULL);
    check(status == QUORATE_OK, "log", status);
    status = quorate_node_open(options, &node, NULL);
    check(status == QUORATE_OK, "open", status);
    quorate_options_free(options);
}

int main(int count, char **arguments)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    pid_t child = -1;
    int one = 1, at, ended = 0, result = 0;
    quorate_status status;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)(count > 1 ? atoi(arguments[1]) : 0));
    listener = socket(AF_INET, SOCK_STREAM, 0);
    check_system(listener >= 0, "socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    check_system(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 16) == 0, "listen");
    check_system(getsockname(listener, (struct sockaddr *)&address, &len) == 0, "getsockname");
    check_system(fcntl(listener, F_SETFL, O_NONBLOCK) == 0, "fcntl");

    /* Forked before a node is open: a child of one that has a node may not use it. */
    if (count < 2) {
        child = fork();
        check_system(child >= 0, "fork");
        if (child == 0)
            return talk(address);
    }
    open_node();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    check_system(epoll >= 0, "epoll_create1");
    for (at = 0; at < CLIENTS_MAX; at++)
        clients[at].socket = -1;
    watch(EPOLL_CTL_ADD, quorate_node_fd(node), EPOLLIN, NODE);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, LISTENER);

    while (!ended) {
        serve_once();
        /* The client was here, and has gone: none is connected. */
        for (at = 0, ended = child > 0 && connections > 0; at < CLIENTS_MAX; at++)
            ended = ended && clients[at].socket < 0;
    }
    check_system(waitpid(child, &result, 0) == child, "waitpid");
    status = quorate_node_stop(node, 0);
    check(status == QUORATE_OK, "stop", status);
    reap();
    quorate_node_free(node);
    close(epoll);
    close(listener);
    return !WIFEXITED(result) || WEXITSTATUS(result) != 0;
}
