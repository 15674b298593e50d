package quorate

// #include "bridge.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Causality is how what one read of a key saw lies to what another one did.
type Causality int32

// The causalities.
const (
	Before     Causality = C.QUORATE_CONTEXT_BEFORE     // the other saw all that this one did, and more
	Equal      Causality = C.QUORATE_CONTEXT_EQUAL      // both saw the same
	After      Causality = C.QUORATE_CONTEXT_AFTER      // this one saw all that the other did, and more
	Concurrent Causality = C.QUORATE_CONTEXT_CONCURRENT // each saw a write that the other did not
)

// CompareContexts says which of two reads of a key saw more, by their contexts; nil is nothing. It needs no node, and so
// cannot tell whether they are genuine.
func CompareContexts(one, other []byte) (Causality, error) {
	var order C.int32_t
	status := C.quorate_context_compare(view(one), view(other), &order)
	return Causality(order), failure(status)
}

// MergeContexts makes one context of several of a key, each of which may be nil: a write with it replaces what any of
// them saw.
func (n *Node) MergeContexts(key []byte, keyspace uint16, contexts ...[]byte) ([]byte, error) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	given, room := make([]C.quorate_bytes, len(contexts)), 0
	for at, context := range contexts {
		if len(context) > 0 {
			pinner.Pin(unsafe.SliceData(context))
		}
		given[at], room = view(context), room+len(context)
	}
	// Merged they are no longer than one behind the other.
	merged := make([]byte, room)
	var length C.size_t
	err := n.with(func(handle *C.quorate_node) C.quorate_status {
		return C.quorate_context_merge(handle, C.uint32_t(keyspace), view(key), unsafe.SliceData(given), C.size_t(len(given)),
			(*C.uint8_t)(unsafe.SliceData(merged)), C.size_t(room), &length)
	})
	return merged[:length], err
}
