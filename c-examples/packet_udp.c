/*
 * Mode packet over UDP sockets of the program's own: three nodes, each in a loop that reads its socket, steps, and sends.
 * The same loop serves any stack that sends and receives datagrams. To keep the example in one process, the three
 * loops take turns; nothing is shared between them.
 */
#include <quorate.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NODES 3
#define PEERS_MAX 64
#define DATAGRAM_BYTES 1400
#define KEYS 200

/* Where the datagrams of a stream go, by the name that the node has for it. */
struct route {
    uint64_t peer;
    struct sockaddr_in address;
};

struct member {
    quorate_node *node;
    int socket;
    struct route routes[PEERS_MAX];
};

static struct member members[NODES];

static void check(int ok, const char *what, quorate_status status)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, quorate_status_text(status));
        exit(1);
    }
}

static quorate_bytes bytes(const void *data, size_t len)
{
    quorate_bytes out;
    out.data = (const uint8_t *)data;
    out.len = len;
    return out;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct route *route(struct member *member, uint64_t peer)
{
    int i;
    for (i = 0; i < PEERS_MAX; i++)
        if (member->routes[i].peer == peer)
            return &member->routes[i];
    return NULL;
}

static void add_route(struct member *member, uint64_t peer, struct sockaddr_in address)
{
    struct route *place = route(member, 0);
    check(place != NULL, "too many streams", QUORATE_E_LIMIT);
    place->peer = peer;
    place->address = address;
}

/* "127.0.0.1:40123" */
static struct sockaddr_in parsed(const uint8_t *data, size_t len)
{
    struct sockaddr_in address;
    char text[64], *port;

    check(len < sizeof text, "address", QUORATE_E_ARG);
    memcpy(text, data, len);
    text[len] = 0;
    port = strrchr(text, ':');
    check(port != NULL, "address", QUORATE_E_ARG);
    *port = 0;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(port + 1));
    check(inet_pton(AF_INET, text, &address.sin_addr) == 1, "address", QUORATE_E_ARG);
    return address;
}

static void receive(struct member *member, uint64_t now, uint64_t wall)
{
    uint8_t data[DATAGRAM_BYTES];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t len;

    while ((len = recvfrom(member->socket, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len)) >= 0) {
        quorate_bytes part = bytes(data, (size_t)len);
        quorate_status status = quorate_net_rx(member->node, 0, &part, 1, now, wall);
        if (status == QUORATE_AGAIN) {
            uint64_t peer;
            /* A stream that is refused is one whose first datagram was lost. */
            if (quorate_net_accept(member->node, now, wall, &peer) == QUORATE_OK) {
                add_route(member, peer, from);
                status = quorate_net_rx(member->node, peer, &part, 1, now, wall);
            }
        }
        check(status >= 0 || status == QUORATE_E_CLOSED, "rx", status);
        from_len = sizeof from;
    }
}

static void send_out(struct member *member)
{
    uint8_t room[16][DATAGRAM_BYTES];
    quorate_frame frames[16];
    struct route *found;
    size_t n, i;

    do {
        memset(frames, 0, sizeof frames);
        for (i = 0; i < 16; i++) {
            frames[i].data = room[i];
            frames[i].cap = DATAGRAM_BYTES;
        }
        check(quorate_net_tx(member->node, frames, sizeof frames[0], 16, &n) >= 0, "tx", QUORATE_E_STATE);
        for (i = 0; i < n; i++) {
            found = route(member, frames[i].peer);
            if (frames[i].kind == QUORATE_FRAME_CONNECT)
                add_route(member, frames[i].peer, parsed(room[i], frames[i].len));
            else if (frames[i].kind == QUORATE_FRAME_CLOSE && found != NULL)
                found->peer = 0;
            else if (found != NULL)
                /* What the kernel does not take is lost, and sent again. */
                (void)!sendto(member->socket, room[i], frames[i].len, MSG_DONTWAIT | MSG_NOSIGNAL,
                              (struct sockaddr *)&found->address, sizeof found->address);
        }
    } while (n == 16);
}

/* One turn of each loop, and a short sleep if none has work. */
static void turn(void)
{
    struct pollfd fds[NODES];
    uint64_t now = clock_ns(CLOCK_MONOTONIC), wall = clock_ns(CLOCK_REALTIME) / 1000000u, until = now + 10000000u;
    int i;

    for (i = 0; i < NODES; i++) {
        quorate_status status;
        receive(&members[i], now, wall);
        status = quorate_node_step(members[i].node, now, wall, 0, NULL);
        check(status == QUORATE_OK, "step", status);
        send_out(&members[i]);
        if (quorate_node_deadline(members[i].node) < until)
            until = quorate_node_deadline(members[i].node);
        fds[i].fd = members[i].socket;
        fds[i].events = POLLIN;
    }
    if (until > now)
        (void)!poll(fds, NODES, (int)((until - now) / 1000000u));
}

/* Turns until so many requests of a member have ended well. */
static void wait_for(struct member *member, int count, int timeout_s)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_s * 1000000000u;
    quorate_completion ends[32];
    size_t n, i;

    while (count > 0) {
        check(clock_ns(CLOCK_MONOTONIC) < until, "every request ends", QUORATE_E_TIMEOUT);
        turn();
        if (quorate_reap(member->node, ends, sizeof ends[0], 32, &n) != QUORATE_OK)
            continue;
        for (i = 0; i < n; i++) {
            check(ends[i].status == QUORATE_OK, "request", ends[i].status);
            check(ends[i].kind != QUORATE_OP_GET || ends[i].n_siblings == 1, "one version", ends[i].status);
        }
        count -= (int)n;
        quorate_completions_clear(ends, sizeof ends[0], n);
    }
}

/* Sockets first: the list of members needs their ports. */
static void bind_all(char *list, size_t room)
{
    size_t used = 0;
    int i;

    for (i = 0; i < NODES; i++) {
        struct sockaddr_in address;
        socklen_t len = sizeof address;

        memset(&address, 0, sizeof address);
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        members[i].socket = socket(AF_INET, SOCK_DGRAM, 0);
        check(members[i].socket >= 0 && bind(members[i].socket, (struct sockaddr *)&address, len) == 0 &&
                  getsockname(members[i].socket, (struct sockaddr *)&address, &len) == 0,
              strerror(errno), QUORATE_E_NET);
        used += (size_t)snprintf(list + used, room - used, "%c@127.0.0.1:%u,", 'A' + i, ntohs(address.sin_port));
    }
    list[used - 1] = 0;
}

static quorate_node *open_node(char name, const char *list)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_error error;
    quorate_status status;

    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    check(QUORATE_OPTIONS_CREATE(&options) == QUORATE_OK, "options", QUORATE_E_NOMEM);
    if (quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_PACKET) != QUORATE_OK ||
        quorate_options_set_u64(options, QUORATE_OPT_CARRIER, QUORATE_CARRIER_DATAGRAM) != QUORATE_OK ||
        quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes(&name, 1)) != QUORATE_OK ||
        quorate_options_set_bytes(options, QUORATE_OPT_MEMBERS, bytes(list, strlen(list))) != QUORATE_OK)
        check(0, "options", QUORATE_E_ARG);
    status = quorate_node_open(options, &node, &error);
    check(status == QUORATE_OK, error.text, status);
    quorate_options_free(options);
    return node;
}

int main(void)
{
    char list[128], key[32];
    uint64_t until;
    int i;

    bind_all(list, sizeof list);
    for (i = 0; i < NODES; i++)
        members[i].node = open_node((char)('A' + i), list);
    /* They find each other. */
    until = clock_ns(CLOCK_MONOTONIC) + 2000000000u;
    while (clock_ns(CLOCK_MONOTONIC) < until)
        turn();

    for (i = 0; i < KEYS; i++) {
        sprintf(key, "key %d", i);
        check(quorate_put(members[0].node, bytes(key, strlen(key)), bytes("value", 5), bytes(NULL, 0), NULL, 1) ==
                  QUORATE_OK,
              "put", QUORATE_E_OVERLOADED);
    }
    wait_for(&members[0], KEYS, 30);
    for (i = 0; i < KEYS; i++) {
        sprintf(key, "key %d", i);
        check(quorate_get(members[2].node, bytes(key, strlen(key)), NULL, 2) == QUORATE_OK, "get", QUORATE_E_OVERLOADED);
    }
    wait_for(&members[2], KEYS, 30);

    for (i = 0; i < NODES; i++) {
        quorate_node_free(members[i].node);
        close(members[i].socket);
    }
    printf("%d written at A, %d read at C, over sockets of the program\n", KEYS, KEYS);
    return 0;
}
