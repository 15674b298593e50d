package quorate

// #include "bridge.h"
import "C"

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

// atOnce is how many completions are taken in one call of C.
const atOnce = 256

// dispatcher takes the completions of a node, in a goroutine that sleeps in the runtime's poller: it costs no thread.
type dispatcher struct {
	node   *Node
	handle *C.quorate_node // the node's own is nil while it is closed
	event  *os.File        // the completion descriptor, a copy of it
	array  *C.quorate_completion
	done   chan struct{}
}

// newDispatcher begins to take completions.
func newDispatcher(node *Node) (*dispatcher, error) {
	// os.File closes what it has, and the library closes its own.
	copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(C.quorate_completion_fd(node.handle)),
		syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return nil, &Error{Status: ErrNoMemory, Flags: ErrNoMemory.Flags(), Errno: errno}
	}
	d := &dispatcher{
		node:   node,
		handle: node.handle,
		event:  os.NewFile(copied, "quorate completions"),
		array:  (*C.quorate_completion)(C.calloc(atOnce, C.sizeof_quorate_completion)),
		done:   make(chan struct{}),
	}
	ready, err := d.event.SyscallConn()
	if err != nil {
		d.free()
		return nil, err
	}
	go func() {
		defer close(d.done)
		// It ends at the deadline that pause sets; a node that will say nothing any more waits for that, too.
		_ = ready.Read(func(uintptr) bool { d.drain(); return false })
	}()
	return d, nil
}

// drain takes all completions that there are.
func (d *dispatcher) drain() {
	done := C.size_t(0)
	for {
		took := C.reap_next(d.handle, d.array, atOnce, done)
		if took.n == 0 {
			return
		}
		ends := unsafe.Slice(d.array, int(took.n))
		for at := range ends {
			d.deliver(&ends[at])
		}
		done = took.n
	}
}

// deliver hands a completion to whoever waits for it.
func (d *dispatcher) deliver(end *C.quorate_completion) {
	more := end.kind == C.QUORATE_OP_WATCH && end.flags&C.QUORATE_N_MORE != 0
	owner := d.node.slots.settle(uint64(end.tag), more)
	if owner.feed != nil {
		owner.feed.take(end, more)
		return
	}
	owner.wait.set(owner.at, resultOf(end))
}

// pause ends the goroutine: it takes nothing more.
func (d *dispatcher) pause() {
	// A time that has passed; it fails only for a closed file.
	_ = d.event.SetReadDeadline(time.Unix(1, 0))
	<-d.done
}

func (d *dispatcher) free() {
	d.event.Close()
	C.free(unsafe.Pointer(d.array))
}
