package quorate

/*
#include "bridge.h"

// None of these keeps a pointer, and the package gives the library no function of Go to call: what is passed may
// stay on the caller's stack.
#cgo noescape quorate_get
#cgo noescape quorate_put
#cgo noescape quorate_delete
#cgo noescape quorate_add
#cgo noescape quorate_put_number
#cgo noescape quorate_scan
#cgo noescape quorate_watch
#cgo noescape submit_packed
#cgo noescape set_packed
#cgo noescape order_packed
#cgo noescape reap_now
#cgo noescape reap_until_quiet
#cgo noescape quorate_result_keys
#cgo noescape quorate_result_change
#cgo noescape quorate_result_cluster
#cgo noescape quorate_result_member
#cgo noescape quorate_result_text
#cgo nocallback quorate_get
#cgo nocallback quorate_put
#cgo nocallback quorate_delete
#cgo nocallback quorate_add
#cgo nocallback quorate_put_number
#cgo nocallback quorate_scan
#cgo nocallback quorate_watch
#cgo nocallback quorate_cancel
#cgo nocallback quorate_context_compare
#cgo nocallback quorate_context_merge
#cgo nocallback submit_packed
#cgo nocallback set_packed
#cgo nocallback order_packed
#cgo nocallback reap_now
#cgo nocallback reap_until_quiet
#cgo nocallback quorate_result_keys
#cgo nocallback quorate_result_change
#cgo nocallback quorate_result_cluster
#cgo nocallback quorate_result_member
#cgo nocallback quorate_result_text
*/
import "C"

import (
	"syscall"
	"unsafe"
)

// view shows memory of Go to C for the length of one call. It is passed by value: then cgo keeps it where it is,
// and nothing has to be pinned.
func view(bytes []byte) C.quorate_bytes {
	return C.quorate_bytes{data: (*C.uint8_t)(unsafe.SliceData(bytes)), len: C.size_t(len(bytes))}
}

// viewString is view of a text.
func viewString(text string) C.quorate_bytes {
	return C.quorate_bytes{data: (*C.uint8_t)(unsafe.StringData(text)), len: C.size_t(len(text))}
}

// shown is memory of C as long as its completion is not cleared. It must not leave the package.
func shown(bytes C.quorate_bytes) []byte {
	return unsafe.Slice((*byte)(bytes.data), int(bytes.len))
}

// arena keeps copies out of memory of C in one allocation.
type arena []byte

// keep copies bytes into the arena, whose capacity was chosen so that it does not move.
func (a *arena) keep(bytes C.quorate_bytes) []byte {
	maybeCollect()
	from := len(*a)
	*a = append(*a, shown(bytes)...)
	return (*a)[from:len(*a):len(*a)]
}

// siblingsOf are the siblings of a completion or a change.
func siblingsOf(first *C.quorate_sibling, n C.uint32_t) []C.quorate_sibling {
	return unsafe.Slice(first, int(n))
}

// room is what the values of siblings take.
func room(siblings []C.quorate_sibling) int {
	total := 0
	for at := range siblings {
		total += int(siblings[at].value.len)
	}
	return total
}

// keepSiblings copies siblings, their values into the arena.
func (a *arena) keepSiblings(siblings []C.quorate_sibling) []Sibling {
	if len(siblings) == 0 {
		return nil
	}
	kept := make([]Sibling, len(siblings))
	for at := range siblings {
		from := &siblings[at]
		kept[at] = Sibling{
			Value:     a.keep(from.value),
			Kind:      Kind(from.kind),
			Clock:     Clock(from.hlc),
			ExpiresMs: uint64(from.expires_ms),
			Dot:       dotOf(from.dot),
		}
	}
	return kept
}

func dotOf(dot C.quorate_dot) Dot {
	return Dot{
		Generation: uint64(dot.generation),
		Nonce:      uint64(dot.nonce),
		Epoch:      uint64(dot.epoch),
		Counter:    uint64(dot.counter),
	}
}

// answerOf copies what a completion says.
func answerOf(end *C.quorate_completion) Answer {
	siblings := siblingsOf(end.siblings, end.n_siblings)
	var kept arena
	if size := int(end.context.len) + room(siblings); size > 0 {
		kept = make(arena, 0, size)
	}
	answer := Answer{
		Dot:       dotOf(end.dot),
		News:      News(end.flags) &^ News(conclusions),
		Asked:     int(end.asked),
		Acked:     int(end.acked),
		Durable:   int(end.durable),
		Fallbacks: int(end.fallbacks),
		Count:     uint64(end.count),
	}
	if end.context.len > 0 {
		answer.Context = kept.keep(end.context)
	}
	answer.Siblings = kept.keepSiblings(siblings)
	return answer
}

// errorOf is the error of a completion, or nil.
func errorOf(end *C.quorate_completion) error {
	if end.status >= C.QUORATE_OK {
		return nil
	}
	failed := &Error{Status: Status(end.status), Flags: Flags(end.flags) & conclusions, Errno: syscall.Errno(end.os_errno)}
	if end.kind == C.QUORATE_OP_CLUSTER {
		failed.Text = textOf(end.result, C.QUORATE_TEXT_REASON)
	}
	return failed
}

// resultOf copies all that a completion says.
func resultOf(end *C.quorate_completion) Result {
	result := Result{Answer: answerOf(end), Err: errorOf(end)}
	switch {
	case end.result == nil:
	case end.kind == C.QUORATE_OP_SCAN:
		result.more = &more{keys: keysOf(end.result)}
	case end.kind == C.QUORATE_OP_CLUSTER:
		result.more = &more{cluster: clusterOf(end.result)}
	}
	return result
}

// keysOf copies the keys of a page of a scan.
func keysOf(result *C.quorate_result) [][]byte {
	var first *C.quorate_bytes
	var n C.size_t
	if C.quorate_result_keys(result, &first, &n) != C.QUORATE_OK {
		return nil
	}
	keys, size := unsafe.Slice(first, int(n)), 0
	for _, key := range keys {
		size += int(key.len)
	}
	kept, copies := make(arena, 0, size), make([][]byte, len(keys))
	for at, key := range keys {
		copies[at] = kept.keep(key)
	}
	return copies
}

// changesOf copies the changes of a page of a feed.
func changesOf(result *C.quorate_result) []Change {
	var changes []Change
	var told C.quorate_change
	for result != nil &&
		C.quorate_result_change(result, C.size_t(len(changes)), &told, C.sizeof_quorate_change) == C.QUORATE_OK {
		siblings := siblingsOf(told.siblings, told.n_siblings)
		kept := make(arena, 0, int(told.key.len)+room(siblings))
		changes = append(changes, Change{Key: kept.keep(told.key), Siblings: kept.keepSiblings(siblings)})
	}
	return changes
}

// textOf copies a text of the answer to an order.
func textOf(result *C.quorate_result, which C.uint32_t) string {
	var text C.quorate_bytes
	if result == nil || C.quorate_result_text(result, which, &text) != C.QUORATE_OK {
		return ""
	}
	return string(shown(text))
}
