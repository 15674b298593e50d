package quorate

// #include "bridge.h"
import "C"

import (
	"sync"
	"sync/atomic"
	"time"
)

// Node is a member of a cluster, in this process. Its methods may be called by many goroutines, but Meet and Start,
// which come before the first request.
type Node struct {
	// Held for reading around each call of C but those of the dispatcher, so that none is under way when the
	// node is stopped and freed.
	life       sync.RWMutex
	handle     *C.quorate_node // nil once it is closed
	dispatcher *dispatcher     // nil before it is started
	slots      slots
	isClosing  atomic.Bool // who holds life for long lets go of it
}

// with calls C on a node that is not closed.
func (n *Node) with(call func(handle *C.quorate_node) C.quorate_status) error {
	n.life.RLock()
	defer n.life.RUnlock()
	if n.handle == nil {
		return failure(C.QUORATE_E_CLOSED)
	}
	return failure(call(n.handle))
}

// started is with on a node that is started: requests need somebody who takes their completions.
func (n *Node) started(call func(handle *C.quorate_node) C.quorate_status) error {
	return n.with(func(handle *C.quorate_node) C.quorate_status {
		if n.dispatcher == nil {
			return C.QUORATE_E_STATE
		}
		return call(handle)
	})
}

// address is one that the node has bound.
func (n *Node) address(which C.uint32_t) (string, error) {
	var text [256]C.char
	err := n.with(func(handle *C.quorate_node) C.quorate_status {
		return C.quorate_node_address(handle, which, &text[0], C.size_t(len(text)), nil)
	})
	if err != nil {
		return "", err
	}
	return C.GoString(&text[0]), nil
}

// PeerAddr is where other members reach the node, with its real port.
func (n *Node) PeerAddr() (string, error) { return n.address(C.QUORATE_ADDRESS_PEER) }

// ClientAddr is where Redis clients reach it, the first for 0.
func (n *Node) ClientAddr(which int) (string, error) {
	return n.address(C.QUORATE_ADDRESS_CLIENT + C.uint32_t(which))
}

// Meet tells where another member listens, in place of the address in the list of members.
func (n *Node) Meet(name, address string) error {
	return n.with(func(handle *C.quorate_node) C.quorate_status {
		return C.quorate_node_meet(handle, viewString(name), viewString(address))
	})
}

// Start has a thread of the library drive the node from now on.
func (n *Node) Start() error {
	n.life.Lock()
	defer n.life.Unlock()
	if n.handle == nil {
		return failure(C.QUORATE_E_CLOSED)
	}
	said := C.quorate_error{struct_size: C.sizeof_quorate_error}
	if err := explained(C.quorate_node_start(n.handle, &said), &said, ""); err != nil {
		return err
	}
	dispatcher, err := newDispatcher(n)
	n.dispatcher = dispatcher
	return err
}

// Close stops a node and frees it. Requests in flight end with [ErrClosed].
func (n *Node) Close() error { return n.Shutdown(0) }

// Shutdown is Close that lets requests in flight take so long. The error is [ErrIO] if the store could not be brought
// to disk; the node is closed all the same.
func (n *Node) Shutdown(grace time.Duration) error {
	n.isClosing.Store(true)
	n.life.Lock()
	handle, dispatcher := n.handle, n.dispatcher
	n.handle = nil
	n.life.Unlock()
	if handle == nil {
		return failure(C.QUORATE_E_CLOSED)
	}
	// Whoever stops a node is alone with it.
	if dispatcher != nil {
		dispatcher.pause()
	}
	err := failure(C.quorate_node_stop(handle, C.uint64_t(max(grace, 0))))
	if dispatcher != nil {
		dispatcher.drain()
		dispatcher.free()
	}
	n.abandon()
	C.quorate_node_free(handle)
	return err
}

// abandon ends what has had no completion once the node is stopped. Only a caught bug of the library leaves any.
func (n *Node) abandon() {
	for _, owner := range n.slots.abandon() {
		if owner.feed != nil {
			owner.feed.end(ErrClosed)
			continue
		}
		owner.wait.set(owner.at, Result{Err: &Error{Status: ErrClosed, Flags: ErrClosed.Flags() | Uncertain}})
	}
}

// Isolate cuts the node off from the other members, or ends that: for tests of what a program does then.
func (n *Node) Isolate(on bool) error {
	var flag C.uint32_t
	if on {
		flag = 1
	}
	return n.with(func(handle *C.quorate_node) C.quorate_status { return C.quorate_node_isolate(handle, flag) })
}

// Figure is a number that the node's store tells of itself.
type Figure uint32

// The figures.
const (
	IsReadOnly           Figure = C.QUORATE_FIGURE_READ_ONLY
	IsDiskFull           Figure = C.QUORATE_FIGURE_DISK_FULL
	IncompletePartitions Figure = C.QUORATE_FIGURE_INCOMPLETE_PARTITIONS
	Records              Figure = C.QUORATE_FIGURE_RECORDS
	DiskBytes            Figure = C.QUORATE_FIGURE_DISK_BYTES
	LiveBytes            Figure = C.QUORATE_FIGURE_LIVE_BYTES
	MemoryBytes          Figure = C.QUORATE_FIGURE_MEMORY_BYTES
	QuarantinedRanges    Figure = C.QUORATE_FIGURE_QUARANTINED_RANGES
)

// Figure reads one, as of a second ago.
func (n *Node) Figure(which Figure) (uint64, error) {
	var value C.uint64_t
	err := n.with(func(handle *C.quorate_node) C.quorate_status {
		return C.quorate_node_figure(handle, C.uint32_t(which), &value)
	})
	return uint64(value), err
}
