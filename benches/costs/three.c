/*
 * What a request costs a C program with a cluster of three in one process, N=3 R=W=2, in memory, over loopback: 64 by
 * quorate_submit at a time to one of the nodes. In mode thread each node has its thread, and they speak by the library's
 * sockets; in mode host this thread turns all three; in mode packet it also moves their datagrams, by sockets of its own.
 * Each figure is the median of the rounds.
 */
#include "costs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define NODES 3
#define ROUNDS 11
#define BATCHES 100
#define STREAMS_MAX 64
#define DATAGRAM_BYTES 8900
#define FRAMES 16

/* Where the datagrams of a stream go, by the name that the node has for it. */
struct route {
    uint64_t peer;
    struct sockaddr_in address;
};

static quorate_node *nodes[NODES];
static int sockets[NODES];
static struct route routes[NODES][STREAMS_MAX];

static struct route *route(int at, uint64_t peer)
{
    int i;
    for (i = 0; i < STREAMS_MAX; i++)
        if (routes[at][i].peer == peer)
            return &routes[at][i];
    check(peer != 0, "too many streams", QUORATE_E_LIMIT);
    return NULL;
}

static void add_route(int at, uint64_t peer, struct sockaddr_in address)
{
    struct route *place = route(at, 0);
    place->peer = peer;
    place->address = address;
}

/* "127.0.0.1:40123" */
static struct sockaddr_in parsed(const uint8_t *data, size_t len)
{
    struct sockaddr_in address;
    unsigned port = 0;
    char text[64];

    memset(&address, 0, sizeof address);
    check(len < sizeof text, "address", QUORATE_E_ARG);
    memcpy(text, data, len);
    text[len] = 0;
    check(sscanf(text, "127.0.0.1:%u", &port) == 1, "address", QUORATE_E_ARG);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    return address;
}

static void receive(int at, uint64_t now, uint64_t wall)
{
    static uint8_t data[DATAGRAM_BYTES];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t len;

    while ((len = recvfrom(sockets[at], data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len)) >= 0) {
        quorate_bytes part = bytes(data, (size_t)len);
        quorate_status status = quorate_net_rx(nodes[at], 0, &part, 1, now, wall);
        uint64_t peer;
        if (status == QUORATE_AGAIN && quorate_net_accept(nodes[at], now, wall, &peer) == QUORATE_OK) {
            add_route(at, peer, from);
            status = quorate_net_rx(nodes[at], peer, &part, 1, now, wall);
        }
        check(status >= 0 || status == QUORATE_E_CLOSED, "rx", status);
        from_len = sizeof from;
    }
}

static void send_out(int at)
{
    static uint8_t room[FRAMES][DATAGRAM_BYTES];
    quorate_frame frames[FRAMES];
    struct route *found;
    size_t n, i;

    do {
        memset(frames, 0, sizeof frames);
        for (i = 0; i < FRAMES; i++) {
            frames[i].data = room[i];
            frames[i].cap = DATAGRAM_BYTES;
        }
        check(quorate_net_tx(nodes[at], frames, sizeof frames[0], FRAMES, &n) >= 0, "tx", QUORATE_E_STATE);
        for (i = 0; i < n; i++) {
            found = route(at, frames[i].peer);
            if (frames[i].kind == QUORATE_FRAME_CONNECT)
                add_route(at, frames[i].peer, parsed(room[i], frames[i].len));
            else if (frames[i].kind == QUORATE_FRAME_CLOSE && found != NULL)
                found->peer = 0;
            else if (found != NULL)
                /* What the kernel does not take is lost, and sent again. */
                (void)!sendto(sockets[at], room[i], frames[i].len, MSG_DONTWAIT | MSG_NOSIGNAL,
                              (struct sockaddr *)&found->address, sizeof found->address);
        }
    } while (n == FRAMES);
}

static void step_all(quorate_node *node)
{
    int at;
    (void)node;
    for (at = 0; at < NODES; at++)
        step(nodes[at]);
}

static void carry_all(quorate_node *node)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC), wall = clock_ns(CLOCK_REALTIME) / 1000000u;
    int at;
    (void)node;
    for (at = 0; at < NODES; at++) {
        receive(at, now, wall);
        step(nodes[at]);
        send_out(at);
    }
}

/* Sockets of the program, for mode packet; the list of members needs their ports. */
static void bind_all(char *list, size_t room)
{
    size_t used = 0;
    int at;

    for (at = 0; at < NODES; at++) {
        struct sockaddr_in address;
        socklen_t len = sizeof address;

        memset(&address, 0, sizeof address);
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        sockets[at] = socket(AF_INET, SOCK_DGRAM, 0);
        check(sockets[at] >= 0 && bind(sockets[at], (struct sockaddr *)&address, len) == 0 &&
                  getsockname(sockets[at], (struct sockaddr *)&address, &len) == 0,
              strerror(errno), QUORATE_E_NET);
        used += (size_t)snprintf(list + used, room - used, "%c@127.0.0.1:%u,", 'A' + at, ntohs(address.sin_port));
    }
    list[used - 1] = 0;
}

static quorate_node *opened(uint64_t mode, char name, const char *list)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_status status = QUORATE_OPTIONS_CREATE(&options);

    check(status == QUORATE_OK, "options", status);
    status = quorate_options_set_u64(options, QUORATE_OPT_MODE, mode);
    if (status == QUORATE_OK && mode == QUORATE_MODE_PACKET)
        status = quorate_options_set_u64(options, QUORATE_OPT_CARRIER, QUORATE_CARRIER_DATAGRAM);
    if (status == QUORATE_OK && mode != QUORATE_MODE_PACKET)
        status = quorate_options_set_bytes(options, QUORATE_OPT_PEER_ADDR, bytes("127.0.0.1:0", 11));
    if (status == QUORATE_OK)
        status = quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes(&name, 1));
    if (status == QUORATE_OK)
        status = quorate_options_set_bytes(options, QUORATE_OPT_MEMBERS, bytes(list, strlen(list)));
    if (status == QUORATE_OK)
        status = quorate_options_set_u64(options, QUORATE_OPT_TIMEOUT_MS, 10000);
    check(status == QUORATE_OK, "an option", status);
    status = quorate_node_open(options, &node, NULL);
    check(status == QUORATE_OK, "open", status);
    quorate_options_free(options);
    return node;
}

static void open_all(uint64_t mode)
{
    char list[128] = "A,B,C", address[64];
    quorate_status status;
    int at, other;

    if (mode == QUORATE_MODE_PACKET)
        bind_all(list, sizeof list);
    for (at = 0; at < NODES; at++)
        nodes[at] = opened(mode, (char)('A' + at), list);
    for (at = 0; at < NODES && mode != QUORATE_MODE_PACKET; at++) {
        char name = (char)('A' + at);
        status = quorate_node_address(nodes[at], QUORATE_ADDRESS_PEER, address, sizeof address, NULL);
        check(status == QUORATE_OK, "address", status);
        for (other = 0; other < NODES; other++) {
            status = quorate_node_meet(nodes[other], bytes(&name, 1), bytes(address, strlen(address)));
            check(status == QUORATE_OK, "meet", status);
        }
    }
    for (at = 0; at < NODES && mode == QUORATE_MODE_THREAD; at++) {
        status = quorate_node_start(nodes[at], NULL);
        check(status == QUORATE_OK, "start", status);
    }
}

int main(void)
{
    static const struct {
        const char *name;
        uint64_t mode;
        turn_of *turn;
    } modes[] = {
        {"thread", QUORATE_MODE_THREAD, await},
        {"host", QUORATE_MODE_HOST, step_all},
        {"packet, over UDP", QUORATE_MODE_PACKET, carry_all},
    };
    static const struct {
        const char *name;
        uint32_t kind;
    } kinds[] = {{"get", QUORATE_OP_GET}, {"put", QUORATE_OP_PUT}};
    size_t mode, kind, round, i;
    int at;

    printf("%-28s %10s %10s %10s\n", "three nodes, N=3", "ns each", "CPU ns", "k/s");
    for (mode = 0; mode < 3; mode++) {
        open_all(modes[mode].mode);
        warm_up(nodes[0], modes[mode].turn);
        for (kind = 0; kind < 2; kind++) {
            double wall[ROUNDS], cpu[ROUNDS], each;
            for (round = 0; round < ROUNDS; round++) {
                uint64_t begun = clock_ns(CLOCK_MONOTONIC), used = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
                for (i = 0; i < BATCHES; i++)
                    batch(nodes[0], modes[mode].turn, kinds[kind].kind, QUORATE_CALL_NO_CONTEXT, i * BATCH);
                wall[round] = (double)(clock_ns(CLOCK_MONOTONIC) - begun) / (BATCHES * BATCH);
                cpu[round] = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - used) / (BATCHES * BATCH);
            }
            each = median(wall, ROUNDS);
            printf("%s, %-*s %10.0f %10.0f %10.0f\n", kinds[kind].name, 23, modes[mode].name, each, median(cpu, ROUNDS),
                   1000000 / each);
        }
        for (at = 0; at < NODES; at++) {
            quorate_node_free(nodes[at]);
            if (modes[mode].mode == QUORATE_MODE_PACKET)
                close(sockets[at]);
        }
    }
    return 0;
}
