package quorate

// #include "bridge.h"
import "C"

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	// atOnce is how many completions are taken in one call of C, and helpAtOnce how many by who waits for fewer.
	atOnce     = 256
	helpAtOnce = 16
	// helpFor is how long a goroutine looks for a completion of its own before it sleeps: as long as it takes to wake a
	// thread, and the node's may have slept.
	helpFor = 100 * time.Microsecond
	// skipMost is how many waits sleep at once, at most, after one that looked in vain: the answers come from afar.
	skipMost = 63
)

// dispatcher takes the completions of a node: in a goroutine that sleeps in the runtime's poller and costs no thread, or
// in one that waits for some of them.
type dispatcher struct {
	node   *Node
	handle *C.quorate_node // the node's own is nil while it is closed
	event  *os.File        // the completion descriptor, a copy of it
	done   chan struct{}

	taking sync.Mutex // by whoever takes completions, to whom all of these belong
	array  *C.quorate_completion
	inVain int // how many waits sleep at once, as the last one that looked did so in vain
	skip   int // how many of these are left
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
	if d.array == nil {
		err = failure(C.QUORATE_E_NOMEM)
	}
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
	d.taking.Lock()
	defer d.taking.Unlock()
	stale := C.size_t(0)
	for {
		took := C.reap_until_quiet(d.handle, d.array, atOnce, stale)
		if took.n == 0 {
			return
		}
		d.deliverAll(took.n)
		stale = took.n
	}
}

// help takes completions, for whoever they are, until all that a goroutine waits for have come, or none of these has
// for a while. Answers from nearby need no switch of goroutines then. One goroutine helps at a time, and the others
// sleep.
func (d *dispatcher) help(w *wait, left <-chan struct{}) {
	if !d.taking.TryLock() {
		return
	}
	defer d.taking.Unlock()
	if d.skip > 0 {
		d.skip--
		return
	}
	switch isLate := d.takeFor(w, left); {
	case isLate:
		d.inVain = min(2*d.inVain+1, skipMost)
		d.skip = d.inVain
	case w.missing() == 0:
		d.inVain = 0
	}
}

// takeFor takes completions as long as those of a wait keep coming, nobody leaves it and the node stays open; whether it
// gave up as they are late.
func (d *dispatcher) takeFor(w *wait, left <-chan struct{}) bool {
	stale := C.size_t(0)
	defer func() { C.quorate_completions_clear(d.array, C.sizeof_quorate_completion, stale) }()
	missing, since := w.missing(), time.Now()
	for missing > 0 && !d.node.isClosing.Load() {
		// Few of others', which it copies before it looks at its own again.
		took := C.reap_now(d.handle, d.array, min(max(C.size_t(missing), helpAtOnce), atOnce), stale)
		d.deliverAll(took.n)
		stale = took.n
		now, still := time.Now(), w.missing()
		if still < missing {
			missing, since = still, now
		} else if now.Sub(since) > helpFor {
			return true
		}
		if took.n > 0 {
			continue
		}
		select {
		case <-left:
			return false
		default:
			runtime.Gosched()
		}
	}
	return false
}

func (d *dispatcher) deliverAll(n C.size_t) {
	ends := unsafe.Slice(d.array, int(n))
	for at := range ends {
		d.deliver(&ends[at])
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
