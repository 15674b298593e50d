// Package hostloop drives nodes in mode host from goroutines that sleep in the runtime's poller, for a test.
//
// The poller hears edges, which the descriptor of a node does not promise: a step may leave it readable as it was. So the
// deadline of the node is that of the read, and is over at once while work is left.
package hostloop

/*
#include <quorate.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static quorate_bytes text(const char *data)
{
    quorate_bytes out;
    out.data = (const uint8_t *)data;
    out.len = strlen(data);
    return out;
}

// A member of a cluster, or NULL.
static quorate_node *opened(const char *name, const char *members)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;

    if (QUORATE_OPTIONS_CREATE(&options) == QUORATE_OK &&
        quorate_options_set_u64(options, QUORATE_OPT_MODE, QUORATE_MODE_HOST) == QUORATE_OK &&
        quorate_options_set_bytes(options, QUORATE_OPT_NAME, text(name)) == QUORATE_OK &&
        quorate_options_set_bytes(options, QUORATE_OPT_MEMBERS, text(members)) == QUORATE_OK &&
        quorate_node_open(options, &node, NULL) != QUORATE_OK)
        node = NULL;
    quorate_options_free(options);
    return node;
}

// Tells a member of two where A or B is.
static int meet(quorate_node *node, quorate_node *other, int is_b)
{
    char address[64];
    size_t len;

    return quorate_node_address(other, QUORATE_ADDRESS_PEER, address, sizeof address, &len) == QUORATE_OK &&
           quorate_node_meet(node, text(is_b ? "B" : "A"), text(address)) == QUORATE_OK;
}

static int put(quorate_node *node)
{
    quorate_call call;

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.blind = QUORATE_BLIND_SUPERSEDE;
    call.timeout_ns = 20000000000u;
    return quorate_put(node, text("key"), text("value"), text(""), &call, 0) == QUORATE_OK;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// What a turn came to: how many requests have ended, how many of these well, and how long until the next turn is due.
typedef struct turned {
    int is_ok;
    int64_t ended, well;
    uint64_t wait_ns;
} turned;

static turned turn(quorate_node *node, uint32_t budget)
{
    turned out;
    quorate_completion ends[64];
    size_t n, i;
    uint64_t now = clock_ns(CLOCK_MONOTONIC), deadline;

    memset(&out, 0, sizeof out);
    out.is_ok = quorate_node_step(node, now, clock_ns(CLOCK_REALTIME) / 1000000, budget, NULL) == QUORATE_OK;
    while (quorate_reap(node, ends, sizeof *ends, 64, &n) == QUORATE_OK) {
        out.ended += (int64_t)n;
        for (i = 0; i < n; i++)
            out.well += ends[i].status == QUORATE_OK;
        quorate_completions_clear(ends, sizeof *ends, n);
    }
    now = clock_ns(CLOCK_MONOTONIC);
    deadline = quorate_node_deadline(node);
    out.wait_ns = deadline == UINT64_MAX ? UINT64_MAX : deadline <= now ? 0 : deadline - now;
    return out;
}
*/
import "C"

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// budgetMax is the largest budget of a step, of those that are drawn.
const budgetMax = 64

// Node is a node in mode host, with the goroutine that steps it.
type Node struct {
	handle *C.quorate_node
	event  *os.File // the descriptor of the node, a copy of it
	stop   atomic.Bool
	done   chan error
	// Ended is told after each turn in which requests have ended.
	Ended chan Ended
}

// Ended is how many requests have ended, and how many of these well.
type Ended struct{ All, Well int }

// Open opens two members that reach each other, and one node alone: of it nothing is heard but what its steps find.
func Open() ([3]*Node, error) {
	var nodes [3]*Node
	for at, names := range [][2]string{{"A", "A,B"}, {"B", "A,B"}, {"C", "C"}} {
		name, members := C.CString(names[0]), C.CString(names[1])
		node := &Node{handle: C.opened(name, members), done: make(chan error, 1), Ended: make(chan Ended, 1024)}
		C.free(unsafe.Pointer(name))
		C.free(unsafe.Pointer(members))
		if node.handle == nil {
			return nodes, errors.New("a node cannot be opened")
		}
		copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(C.quorate_node_fd(node.handle)),
			syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			return nodes, errno
		}
		// Only what does not block is given to the poller.
		if err := syscall.SetNonblock(int(copied), true); err != nil {
			return nodes, err
		}
		node.event = os.NewFile(copied, "quorate node")
		nodes[at] = node
	}
	for at, met := range nodes[:2] {
		for _, node := range nodes[:2] {
			if C.meet(node.handle, met.handle, C.int(at)) == 0 {
				return nodes, errors.New("two nodes cannot meet")
			}
		}
	}
	for _, node := range nodes {
		go func() { node.done <- node.drive() }()
	}
	return nodes, nil
}

// Put writes a value to all members; false if it is not taken.
func (n *Node) Put() bool {
	return C.put(n.handle) != 0
}

// Close ends the goroutine and frees the node. Says why the goroutine has ended before, if it has.
func (n *Node) Close() error {
	n.stop.Store(true)
	C.quorate_node_wake(n.handle)
	err := <-n.done
	C.quorate_node_free(n.handle)
	return errors.Join(err, n.event.Close())
}

// drive steps the node once at each edge and at each deadline, with budgets that are drawn.
func (n *Node) drive() error {
	ready, err := n.event.SyscallConn()
	if err != nil {
		return err
	}
	for !n.stop.Load() {
		// A deadline that has passed would end the read before it looks.
		if err := n.event.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		var failed error
		err := ready.Read(func(uintptr) bool {
			failed = n.turn()
			return failed != nil || n.stop.Load()
		})
		if failed != nil {
			return failed
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

func (n *Node) turn() error {
	turned := C.turn(n.handle, C.uint32_t(1+rand.IntN(budgetMax)))
	if turned.is_ok == 0 {
		return errors.New("a step fails")
	}
	if turned.ended > 0 {
		n.Ended <- Ended{int(turned.ended), int(turned.well)}
	}
	if turned.wait_ns == math.MaxUint64 {
		return n.event.SetReadDeadline(time.Time{})
	}
	return n.event.SetReadDeadline(time.Now().Add(time.Duration(turned.wait_ns)))
}
