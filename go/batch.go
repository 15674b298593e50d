package quorate

// #include "bridge.h"
import "C"

import (
	"context"
	"sync"
	"unsafe"
)

// OpKind is what an [Op] does.
type OpKind uint32

// What an Op can do.
const (
	OpGet    OpKind = C.QUORATE_OP_GET
	OpPut    OpKind = C.QUORATE_OP_PUT
	OpDelete OpKind = C.QUORATE_OP_DELETE
)

// Op is one request of a batch. A get has a key alone, and a delete no value.
type Op struct {
	Kind                OpKind
	Key, Value, Context []byte
	Call                *Call
}

// packed is a batch as C takes it, without pointers. It is used again.
type packed struct {
	ops   []C.packed_op
	texts []byte
}

// A batch of large values would keep its room for ever.
const textsKept = 1 << 20

var packs = sync.Pool{New: func() any { return new(packed) }}

// pack fills in a batch.
func (p *packed) pack(ctx context.Context, ops []Op, w *wait) {
	p.ops, p.texts = p.ops[:0], p.texts[:0]
	for at := range ops {
		op := &ops[at]
		one := C.packed_op{
			kind: C.uint32_t(op.Kind), has_call: 1, tag: C.uint64_t(w.tags[at]),
			key: C.size_t(len(op.Key)), value: C.size_t(len(op.Value)), context: C.size_t(len(op.Context)),
		}
		op.Call.native(ctx, w.results[at].isBounded, &one.call)
		p.ops = append(p.ops, one)
		p.texts = append(append(append(p.texts, op.Key...), op.Value...), op.Context...)
	}
}

// Batch sends requests in one call of C and waits until all have ended; their results are in the same order. The
// requests of a batch run beside each other. If one is refused, those behind it are not sent, and have the same error.
func (n *Node) Batch(ctx context.Context, ops []Op) []Result {
	if len(ops) == 0 {
		return nil
	}
	w := newWait(len(ops))
	if ctx.Err() != nil {
		failed := interrupted(ctx, false)
		for at := range w.results {
			w.results[at].Err = failed
		}
		return w.results
	}
	for at := range ops {
		w.results[at].isBounded = ops[at].Call.isBounded(ctx)
	}
	accepted, err := n.send(ctx, ops, w)
	if err != nil {
		w.refuse(accepted, err)
	}
	if !n.await(ctx, w) {
		n.leave(ctx, w, func(at int) bool { return ops[at].Kind != OpGet })
		return w.results
	}
	results := w.results
	if len(results) == 1 {
		// It is a part of what is used again.
		results = []Result{results[0]}
	}
	w.recycle()
	for at := range results {
		results[at].minded()
	}
	return results
}

// send submits a batch; says how many requests were accepted, and why the next one was not.
func (n *Node) send(ctx context.Context, ops []Op, w *wait) (accepted int, err error) {
	p := packs.Get().(*packed)
	err = n.started(func(handle *C.quorate_node) C.quorate_status {
		n.slots.take(w, w.tags)
		p.pack(ctx, ops, w)
		maybeCollect()
		sent := C.submit_packed(handle, unsafe.SliceData(p.ops), C.size_t(len(p.ops)),
			(*C.uint8_t)(unsafe.SliceData(p.texts)))
		accepted = int(sent.n)
		n.slots.give(w.tags[accepted:]...)
		return sent.status
	})
	if cap(p.texts) > textsKept {
		p.texts = nil
	}
	packs.Put(p)
	return accepted, err
}
