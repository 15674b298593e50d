package quorate

// #include "bridge.h"
import "C"

import (
	"context"
	"time"
	"unsafe"
)

// None is the explicit 0 of PR, PW and DW, whose zero is the default.
const None = -1

// View says how a read shows siblings.
type View uint16

// The views. The value that one of the last five makes is to be shown; nothing is stored before it is written back.
const (
	ViewAll      View = C.QUORATE_VIEW_ALL
	ViewLatest   View = C.QUORATE_VIEW_LATEST
	ViewMajority View = C.QUORATE_VIEW_MAJORITY
	ViewMax      View = C.QUORATE_VIEW_MAX
	ViewMin      View = C.QUORATE_VIEW_MIN
	ViewSum      View = C.QUORATE_VIEW_SUM
	ViewSetUnion View = C.QUORATE_VIEW_SET_UNION
	ViewConcat   View = C.QUORATE_VIEW_CONCAT
)

// Blind says what a write does to versions that its context does not cover.
type Blind uint16

// What a write without a context means; BlindRefuse minds a context, too.
const (
	BlindSiblings  Blind = C.QUORATE_BLIND_SIBLINGS  // nothing is superseded
	BlindSupersede Blind = C.QUORATE_BLIND_SUPERSEDE // it replaces what its coordinator holds
	BlindRefuse    Blind = C.QUORATE_BLIND_REFUSE    // ErrChanged if its coordinator holds anything else
)

// Call is the settings of one request. What is zero has its default, and so has all of a nil.
type Call struct {
	Keyspace   uint16
	R, W       int // replicas that must answer, and acknowledge
	PR, PW, DW int // of these primaries, and on disk; or None
	View       View
	Blind      Blind
	Sloppy     bool          // fallbacks may stand in for replicas that are down
	NoContext  bool          // the answer needs no context
	Timeout    time.Duration // the deadline of the context if zero or that is sooner; without either the node's own
	TTL        time.Duration // of the value, rounded up to milliseconds; for ever if zero
}

// noCall is of what takes no settings, and no deadline.
var noCall = new(Call)

// Kind is the type of a sibling.
type Kind uint32

// The types.
const (
	KindBytes   Kind = C.QUORATE_TYPE_BYTES
	KindCounter Kind = C.QUORATE_TYPE_COUNTER // a number in decimal, to which something was counted
	KindElement Kind = C.QUORATE_TYPE_ELEMENT // an element of a set
)

// Dot names the event that wrote a version.
type Dot struct{ Generation, Nonce, Epoch, Counter uint64 }

// Clock is when a version was written, by its coordinator's hybrid clock.
type Clock uint64

// Time is the clock without the count that tells events of one millisecond apart.
func (c Clock) Time() time.Time { return time.UnixMilli(int64(c >> 16)) }

// Sibling is one version of a key.
type Sibling struct {
	Value     []byte
	Kind      Kind
	Clock     Clock
	ExpiresMs uint64 // since the Unix epoch; 0 for never
	Dot       Dot
}

// News is what else there is to say of an answer.
type News uint32

// The news.
const (
	Hidden       News = C.QUORATE_N_HIDDEN     // the view left siblings out
	Unrepaired   News = C.QUORATE_N_UNREPAIRED // read repair could not finish in time
	Weak         News = C.QUORATE_N_WEAK       // R + W <= N: it may be older than an acknowledged write
	Merged       News = C.QUORATE_N_MERGED     // the view made one sibling of several
	LayoutChange News = C.QUORATE_N_LAYOUT     // of a scan: partitions moved since the page before
)

// Answer is what a request came to. It is as full as can be where there is an error, too.
type Answer struct {
	Siblings  []Sibling // of a read; of a counter the number that it made
	Context   []byte    // stands for what was shown; nil for none
	Dot       Dot       // of a write, once one was issued
	News      News
	Asked     int    // replicas that had to answer
	Acked     int    // that did
	Durable   int    // of these on disk
	Fallbacks int    // of these fallbacks
	Count     uint64 // of a change of a set: how many elements came or went
}

// Result is how one request of several ended.
type Result struct {
	Answer
	Err  error
	more *more

	isSet     bool // its completion came
	isBounded bool // it must end by the deadline of the context
}

// more is what only scans and orders have.
type more struct {
	keys    [][]byte
	cluster Cluster
}

// replicas is a count as C has it; one that is none C refuses.
func replicas(count int) C.uint16_t {
	switch {
	case count == None:
		return C.QUORATE_NONE
	case count < 0 || count >= C.QUORATE_NONE:
		return C.QUORATE_NONE - 1
	}
	return C.uint16_t(count)
}

// isBounded says whether the deadline of the context is what a request must end by.
func (c *Call) isBounded(ctx context.Context) bool {
	deadline, has := ctx.Deadline()
	return has && c != noCall && (c == nil || c.Timeout <= 0 || time.Until(deadline) < c.Timeout)
}

// native is the settings as C has them, with what is left until the deadline of the context if that bounds the request.
func (c *Call) native(ctx context.Context, isBounded bool, into *C.quorate_call) {
	into.struct_size = C.sizeof_quorate_call
	if c != nil {
		into.keyspace = C.uint16_t(c.Keyspace)
		into.r, into.w = replicas(c.R), replicas(c.W)
		into.pr, into.pw, into.dw = replicas(c.PR), replicas(c.PW), replicas(c.DW)
		into.view, into.blind = C.uint16_t(c.View), C.uint16_t(c.Blind)
		if c.Sloppy {
			into.flags |= C.QUORATE_CALL_SLOPPY
		}
		if c.NoContext {
			into.flags |= C.QUORATE_CALL_NO_CONTEXT
		}
		into.timeout_ns = C.uint64_t(max(c.Timeout, 0))
		if c.TTL != 0 {
			// Less than nothing is left to a value that has ended: it ends at once.
			into.ttl_ms = C.uint64_t(max((c.TTL + time.Millisecond - 1).Milliseconds(), 1))
		}
	}
	if isBounded {
		deadline, _ := ctx.Deadline()
		into.timeout_ns = C.uint64_t(max(time.Until(deadline), 1))
	}
}

// interrupted is the error of a request that the context ended: before it was sent, or after.
func interrupted(ctx context.Context, wasSent bool) *Error {
	failed := &Error{Status: ErrCancelled, Flags: ErrCancelled.Flags() &^ Uncertain, cause: context.Cause(ctx)}
	if wasSent {
		failed.Flags |= Uncertain
	}
	return failed
}

// minded says that it was the context's deadline which passed in the library, if it was.
func (r *Result) minded() {
	failed, is := r.Err.(*Error)
	if is && r.isBounded && (failed.Status == ErrTimeout || failed.Status == ErrMaybe) {
		failed.cause = context.DeadlineExceeded
	}
}

// request sends one request and waits for its end. send may not keep what it is given.
func (n *Node) request(ctx context.Context, call *Call, isWrite bool,
	send func(handle *C.quorate_node, call *C.quorate_call, tag C.uint64_t) C.quorate_status) (Result, error) {
	if ctx.Err() != nil {
		failed := interrupted(ctx, false)
		return Result{Err: failed}, failed
	}
	w := newWait(1)
	isBounded := call.isBounded(ctx)
	w.results[0].isBounded = isBounded
	call.native(ctx, isBounded, &w.call)
	err := n.started(func(handle *C.quorate_node) C.quorate_status {
		n.slots.take(w, w.tags)
		status := send(handle, &w.call, C.uint64_t(w.tags[0]))
		if status < C.QUORATE_OK {
			n.slots.give(w.tags...)
		}
		return status
	})
	maybeCollect()
	if err != nil {
		w.recycle()
		return Result{Err: err}, err
	}
	if !n.await(ctx, w) {
		n.leave(ctx, w, func(int) bool { return isWrite })
		return w.results[0], w.results[0].Err
	}
	result := w.results[0]
	w.recycle()
	result.minded()
	return result, result.Err
}

// Get reads a key. The error is [ErrNotFound] where no version is live; the answer then may have a context still.
func (n *Node) Get(ctx context.Context, key []byte, call *Call) (Answer, error) {
	result, err := n.request(ctx, call, false,
		func(handle *C.quorate_node, call *C.quorate_call, tag C.uint64_t) C.quorate_status {
			return C.quorate_get(handle, view(key), call, tag)
		})
	return result.Answer, err
}

// Put writes a value. With a context, of a read of this key, it replaces what that shows; with nil it adds a sibling.
func (n *Node) Put(ctx context.Context, key, value, seen []byte, call *Call) (Answer, error) {
	result, err := n.request(ctx, call, true,
		func(handle *C.quorate_node, call *C.quorate_call, tag C.uint64_t) C.quorate_status {
			return C.quorate_put(handle, view(key), view(value), view(seen), call, tag)
		})
	return result.Answer, err
}

// Delete writes a tombstone, which covers what the context does.
func (n *Node) Delete(ctx context.Context, key, seen []byte, call *Call) (Answer, error) {
	result, err := n.request(ctx, call, true,
		func(handle *C.quorate_node, call *C.quorate_call, tag C.uint64_t) C.quorate_status {
			return C.quorate_delete(handle, view(key), view(seen), call, tag)
		})
	return result.Answer, err
}

// Add increments a number; one that is absent is 0. With an id that is not 0 the same replica counts the increment once,
// however often it is asked. The one sibling of the answer is the number after it, as that replica has it.
func (n *Node) Add(ctx context.Context, key []byte, by int64, id uint64, call *Call) (Answer, error) {
	result, err := n.request(ctx, call, true,
		func(handle *C.quorate_node, call *C.quorate_call, tag C.uint64_t) C.quorate_status {
			return C.quorate_add(handle, view(key), C.int64_t(by), C.uint64_t(id), call, tag)
		})
	return result.Answer, err
}

// PutNumber puts a number in the place of the one that was read with this context. What is added is the difference. A
// context is good for one number: given again, also with another one, the answer is that to the first.
func (n *Node) PutNumber(ctx context.Context, key []byte, number int64, seen []byte, call *Call) (Answer, error) {
	result, err := n.request(ctx, call, true,
		func(handle *C.quorate_node, call *C.quorate_call, tag C.uint64_t) C.quorate_status {
			return C.quorate_put_number(handle, view(key), C.int64_t(number), view(seen), call, tag)
		})
	return result.Answer, err
}

// SetAdd puts elements into a set. The count of the answer is how many were not there, as far as R replicas knew.
func (n *Node) SetAdd(ctx context.Context, key []byte, members [][]byte, call *Call) (Answer, error) {
	return n.changeSet(ctx, key, members, call, 0)
}

// SetRemove takes elements out of a set. The count of the answer is how many were there.
func (n *Node) SetRemove(ctx context.Context, key []byte, members [][]byte, call *Call) (Answer, error) {
	return n.changeSet(ctx, key, members, call, 1)
}

func (n *Node) changeSet(ctx context.Context, key []byte, members [][]byte, call *Call, remove C.int) (Answer, error) {
	// With room for one more, so that there is a first element to point to.
	lengths := make([]C.size_t, len(members), len(members)+1)
	var texts []byte
	for at, member := range members {
		lengths[at] = C.size_t(len(member))
		texts = append(texts, member...)
	}
	result, err := n.request(ctx, call, true,
		func(handle *C.quorate_node, call *C.quorate_call, tag C.uint64_t) C.quorate_status {
			return C.set_packed(handle, remove, view(key), unsafe.SliceData(lengths), C.size_t(len(members)),
				(*C.uint8_t)(unsafe.SliceData(texts)), call, tag)
		})
	return result.Answer, err
}
