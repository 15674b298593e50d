/*
 * Mode packet: three nodes in one thread, and a network that is an array. The program moves every datagram, and loses
 * one in five. Buffers are overwritten as soon as they are the program's again, to show that they are.
 */
#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define PEERS_MAX 256
#define AIR_MAX 65536
#define DATAGRAM_BYTES 1400
#define KEYS 20
#define BIG_BYTES (1u << 20)
#define WALL_MS 1700000000000u

/* Where a datagram goes that a node has for a name. */
struct route {
    uint64_t peer;
    int to;
};

/* A datagram on its way. */
struct flight {
    uint64_t due;
    int from, to;
    size_t len;
    uint8_t data[DATAGRAM_BYTES];
};

static quorate_node *nodes[NODES];
static struct route routes[NODES][PEERS_MAX];
static struct flight *air[AIR_MAX];
static size_t in_air;
static uint64_t now, sent, lost, seed = 1;

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

static unsigned below(unsigned limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % limit;
}

/* The route of a name; NULL if there is none. The name 0 finds a free place. */
static struct route *route(int node, uint64_t peer)
{
    int i;
    for (i = 0; i < PEERS_MAX; i++)
        if (routes[node][i].peer == peer)
            return &routes[node][i];
    check(peer != 0, "too many streams", QUORATE_E_LIMIT);
    return NULL;
}

static void add_route(int node, uint64_t peer, int to)
{
    struct route *place = route(node, 0);
    place->peer = peer;
    place->to = to;
}

/* Puts a datagram into the air, unless it is lost. It takes one to four milliseconds, so some overtake others. */
static void fly(int from, int to, const uint8_t *data, size_t len)
{
    struct flight *flight;

    sent++;
    if (below(5) == 0 || in_air == AIR_MAX) {
        lost++;
        return;
    }
    flight = malloc(sizeof *flight);
    check(flight != NULL, "memory", QUORATE_E_NOMEM);
    flight->due = now + 1000000u * (1 + below(4));
    flight->from = from;
    flight->to = to;
    flight->len = len;
    memcpy(flight->data, data, len);
    air[in_air++] = flight;
}

/* Gives a datagram to the node that it flew to. */
static void land(struct flight *flight)
{
    quorate_node *node = nodes[flight->to];
    quorate_bytes part = bytes(flight->data, flight->len);
    quorate_status status = quorate_net_rx(node, 0, &part, 1, now, WALL_MS);

    if (status == QUORATE_AGAIN) {
        /* It opens a stream: what the node has for that goes back to where this came from. */
        uint64_t peer;
        status = quorate_net_accept(node, now, WALL_MS, &peer);
        check(status == QUORATE_OK, "accept", status);
        add_route(flight->to, peer, flight->from);
        status = quorate_net_rx(node, peer, &part, 1, now, WALL_MS);
    }
    /* E_CLOSED: it came late, for a stream that is over. */
    check(status == QUORATE_OK || status == QUORATE_E_CLOSED, "rx", status);
    memset(flight, 0xa5, sizeof *flight);
    free(flight);
}

/* Takes what a node has to say. */
static void fetch(int from)
{
    static uint8_t room[8][DATAGRAM_BYTES];
    quorate_frame frames[8];
    struct route *found;
    size_t n, i;

    do {
        memset(frames, 0, sizeof frames);
        for (i = 0; i < 8; i++) {
            frames[i].data = room[i];
            frames[i].cap = DATAGRAM_BYTES;
        }
        check(quorate_net_tx(nodes[from], frames, sizeof frames[0], 8, &n) >= 0, "tx", QUORATE_E_STATE);
        for (i = 0; i < n; i++) {
            found = route(from, frames[i].peer);
            switch (frames[i].kind) {
            case QUORATE_FRAME_CONNECT: /* "10.0.0.N:1" */
                add_route(from, frames[i].peer, room[i][7] - '0');
                break;
            case QUORATE_FRAME_CLOSE:
                if (found != NULL)
                    found->peer = 0;
                break;
            default:
                if (found != NULL)
                    fly(from, found->to, room[i], frames[i].len);
            }
        }
        memset(room, 0x5a, sizeof room);
    } while (n == 8);
}

/* One millisecond. */
static void turn(void)
{
    size_t i, left = 0, before = in_air;
    int node;

    now += 1000000u;
    for (i = 0; i < before; i++) {
        if (air[i]->due <= now)
            land(air[i]);
        else
            air[left++] = air[i];
    }
    in_air = left;
    for (node = 0; node < NODES; node++) {
        quorate_status status = quorate_node_step(nodes[node], now, WALL_MS, 0, NULL);
        check(status == QUORATE_OK, "step", status);
        fetch(node);
    }
}

/* Turns until a request of a node has ended, and gives its end. */
static quorate_completion end_of(int node)
{
    quorate_completion end;
    size_t n = 0;
    int turns;

    for (turns = 0; turns < 60000 && n == 0; turns++) {
        turn();
        (void)!quorate_reap(nodes[node], &end, sizeof end, 1, &n);
    }
    check(n == 1, "every request ends", QUORATE_E_TIMEOUT);
    return end;
}

/* What time it is, for what a node asks outside of its steps: this world begins at zero. */
static uint64_t simulated(void *user)
{
    (void)user;
    return now;
}

static uint64_t wall(void *user)
{
    (void)user;
    return WALL_MS;
}

static quorate_node *open_node(const char *name)
{
    static const char members[] = "A@10.0.0.0:1,B@10.0.0.1:1,C@10.0.0.2:1";
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_error error;
    quorate_clock clock;
    quorate_status status;

    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    memset(&clock, 0, sizeof clock);
    clock.struct_size = sizeof clock;
    clock.monotonic_ns = simulated;
    clock.wall_ms = wall;
    check(QUORATE_OPTIONS_CREATE(&options) == QUORATE_OK, "options", QUORATE_E_NOMEM);
    /* Without a directory records are kept in memory. */
    if (quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_PACKET) != QUORATE_OK ||
        quorate_options_set_clock(options, &clock) != QUORATE_OK ||
        quorate_options_set_u64(options, QUORATE_OPT_CARRIER, QUORATE_CARRIER_DATAGRAM) != QUORATE_OK ||
        quorate_options_set_bytes(options, QUORATE_OPT_NAME, bytes(name, 1)) != QUORATE_OK ||
        quorate_options_set_bytes(options, QUORATE_OPT_MEMBERS, bytes(members, sizeof members - 1)) != QUORATE_OK)
        check(0, "options", QUORATE_E_ARG);
    status = quorate_node_open(options, &node, &error);
    check(status == QUORATE_OK, error.text, status);
    quorate_options_free(options);
    return node;
}

int main(void)
{
    quorate_completion end;
    quorate_call call;
    quorate_status status;
    uint8_t *big = malloc(BIG_BYTES);
    char key[32];
    int i;

    check(big != NULL, "memory", QUORATE_E_NOMEM);
    for (i = 0; i < (int)BIG_BYTES; i++)
        big[i] = (uint8_t)(i * 31 + (i >> 8));
    for (i = 0; i < NODES; i++) {
        sprintf(key, "%c", 'A' + i);
        nodes[i] = open_node(key);
    }
    /* They find each other. */
    for (i = 0; i < 3000; i++)
        turn();

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.timeout_ns = 20000000000u;
    for (i = 0; i <= KEYS; i++) {
        quorate_bytes value = i < KEYS ? bytes("value", 5) : bytes(big, BIG_BYTES);
        sprintf(key, "key %d", i);
        status = quorate_put(nodes[i % NODES], bytes(key, strlen(key)), value, bytes(NULL, 0), &call, 1);
        check(status == QUORATE_OK, "put", status);
        end = end_of(i % NODES);
        check(end.status == QUORATE_OK && end.acked >= 2, "put", end.status);
        quorate_completions_clear(&end, sizeof end, 1);

        status = quorate_get(nodes[(i + 1) % NODES], bytes(key, strlen(key)), &call, 2);
        check(status == QUORATE_OK, "get", status);
        end = end_of((i + 1) % NODES);
        check(end.status == QUORATE_OK && end.n_siblings == 1 && end.siblings->value.len == value.len &&
                  memcmp(end.siblings->value.data, value.data, value.len) == 0,
              "get", end.status);
        quorate_completions_clear(&end, sizeof end, 1);
    }
    for (i = 0; i < NODES; i++)
        quorate_node_free(nodes[i]);
    while (in_air > 0)
        free(air[--in_air]);
    free(big);
    check(lost > sent / 10, "datagrams are lost", QUORATE_E_NET);
    printf("%d keys written and read, one of them %u bytes; one in five of the datagrams was lost\n", KEYS + 1, BIG_BYTES);
    return 0;
}
