package quorate

// #include <quorate.h>
import "C"

import (
	"context"
	"sync"
)

// owner is told of the completions of its slot. Exactly one of the two is set.
type owner struct {
	wait *wait // of a request
	feed *feed // of a change feed
	at   int   // which result of the wait it is
}

// slots gives requests their tags: places in a table, so that nothing of Go travels through C. They are taken and
// given back inside Node.with: a node that is closed has none.
type slots struct {
	mu      sync.Mutex
	entries []owner
	free    []uint64
}

// take gives a tag to each of n requests of one wait.
func (s *slots) take(wait *wait, tags []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range tags {
		tags[at] = s.place(owner{wait: wait, at: at})
	}
}

// takeFeed gives a tag to a change feed.
func (s *slots) takeFeed(feed *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	feed.tag = s.place(owner{feed: feed})
}

func (s *slots) place(owner owner) uint64 {
	if last := len(s.free) - 1; last >= 0 {
		tag := s.free[last]
		s.free = s.free[:last]
		s.entries[tag] = owner
		return tag
	}
	s.entries = append(s.entries, owner)
	return uint64(len(s.entries) - 1)
}

// give takes tags back whose requests were refused: no completion comes for them.
func (s *slots) give(tags ...uint64) {
	if len(tags) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tag := range tags {
		s.vacate(tag)
	}
}

func (s *slots) vacate(tag uint64) {
	s.entries[tag] = owner{}
	s.free = append(s.free, tag)
}

// settle returns whose completion a tag is. Unless more of the tag follow, it is free again.
func (s *slots) settle(tag uint64, more bool) owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.entries[tag]
	if !more {
		s.vacate(tag)
	}
	return found
}

// inUse is how many requests and feeds have no last completion yet.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries) - len(s.free)
}

// cancel has the library end what of a wait has no end yet. Its completions come, to nobody. While the table is held no
// tag is given to another request.
func (s *slots) cancel(handle *C.quorate_node, w *wait) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, tag := range w.tags {
		if s.entries[tag] == (owner{wait: w, at: at}) {
			// Refused, it ends at its deadline.
			_ = C.quorate_cancel(handle, C.uint64_t(tag))
		}
	}
}

// abandon empties the table, for a node that says nothing any more, and returns who waited.
func (s *slots) abandon() []owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []owner
	for _, owner := range s.entries {
		if owner.wait != nil || owner.feed != nil {
			left = append(left, owner)
		}
	}
	s.entries, s.free = nil, nil
	return left
}

// wait is what one goroutine waits for: a request, or a batch of them.
type wait struct {
	mu      sync.Mutex
	results []Result
	left    int
	isOver  bool          // nobody waits any more
	done    chan struct{} // one place; filled when nothing is left
	single  [1]Result
	tags    []uint64
	call    C.quorate_call // of a single request; here it costs no allocation
}

// waits are used again once all their completions have come.
var waits = sync.Pool{New: func() any { return &wait{done: make(chan struct{}, 1)} }}

func newWait(n int) *wait {
	w := waits.Get().(*wait)
	w.left, w.results = n, w.single[:]
	if n != 1 {
		w.results = make([]Result, n)
	}
	if cap(w.tags) < n {
		w.tags = make([]uint64, n)
	}
	w.tags = w.tags[:n]
	return w
}

// recycle gives back a wait whose results were taken.
func (w *wait) recycle() {
	w.results, w.single[0], w.call = nil, Result{}, C.quorate_call{}
	waits.Put(w)
}

// set keeps a result; the last one ends the wait.
func (w *wait) set(at int, result Result) {
	w.mu.Lock()
	if !w.isOver {
		result.isSet, result.isBounded = true, w.results[at].isBounded
		w.results[at] = result
	}
	w.left--
	isDone := w.left == 0
	w.mu.Unlock()
	if isDone {
		w.done <- struct{}{}
	}
}

// missing is how many completions have not come.
func (w *wait) missing() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

// refuse ends the requests from one on, which were not accepted: no completion comes for them.
func (w *wait) refuse(from int, err error) {
	for at := from; at < len(w.tags); at++ {
		w.set(at, Result{Err: err})
	}
}

// await waits until all completions of a wait have come. False if the context ended before.
func (n *Node) await(ctx context.Context, w *wait) bool {
	if left := ctx.Done(); w.missing() > 0 {
		// A node that is closed ends all.
		_ = n.started(func(*C.quorate_node) C.quorate_status {
			n.dispatcher.help(w, left)
			return C.QUORATE_OK
		})
	}
	select {
	case <-w.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// leave takes what is there when the context has ended. What is not is cancelled, and comes to nobody; some of it may have
// come while this looked.
func (n *Node) leave(ctx context.Context, w *wait, isWrite func(at int) bool) {
	// A node that is closed ends all.
	_ = n.with(func(handle *C.quorate_node) C.quorate_status {
		n.slots.cancel(handle, w)
		return C.QUORATE_OK
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isOver = true
	for at := range w.results {
		result := &w.results[at]
		if !result.isSet {
			result.Err = interrupted(ctx, isWrite(at))
			continue
		}
		result.minded()
		if failed, is := result.Err.(*Error); is && failed.Status == ErrCancelled {
			failed.cause = context.Cause(ctx)
		}
	}
}
