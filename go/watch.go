package quorate

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// AllPartitions has a feed follow every partition of which the node holds a copy.
const AllPartitions = C.QUORATE_PARTITION_ALL

// pagesKept is how many pages of a feed wait for a follower that is slow. Then the feed is ended, and begun again where
// it was once they are taken: nothing is gathered without bound, and other requests do not wait for a follower.
const pagesKept = 4

// WatchOptions choose what a feed tells.
type WatchOptions struct {
	Partition uint32 // a number, or AllPartitions
	Place     []byte // of a page before, on this node; nil to begin now
	Limit     int    // keys of a page, at most 1,000; 100 if zero
	Call      *Call  // of which the keyspace counts
}

// Change is a key that changed.
type Change struct {
	Key      []byte
	Siblings []Sibling // as they are now; none if it is deleted
}

// ChangePage is what a feed tells at a time.
type ChangePage struct {
	// Gap says that what changed before this page cannot be told. A scan that is begun now shows what was missed.
	Gap     bool
	Changes []Change
	Place   []byte // behind this page: a feed that is begun there goes on, also after a restart
}

// feed is one follower.
type feed struct {
	node  *Node
	mu    sync.Mutex
	tag   uint64
	pages []ChangePage
	isCut bool  // it was asked to end
	isEnd bool  // the last completion came
	err   error // why, unless it was asked to
	isOff bool  // nobody follows any more
	wake  chan struct{}
}

// take has a page, or the end. It runs where completions are taken.
func (f *feed) take(end *C.quorate_completion, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if more && !f.isOff {
		place := arena(make([]byte, 0, int(end.context.len)))
		f.pages = append(f.pages, ChangePage{
			Gap:     end.flags&C.QUORATE_N_GAP != 0,
			Changes: changesOf(end.result),
			Place:   place.keep(end.context),
		})
		if len(f.pages) >= pagesKept && !f.isCut {
			// Refused only once the feed has ended, of which a completion tells.
			f.isCut = true
			_ = C.quorate_unwatch(f.node.dispatcher.handle, C.uint64_t(f.tag))
		}
	}
	if !more {
		f.isEnd = true
		if failed := errorOf(end); !f.isCut || Status(end.status) != ErrCancelled {
			f.err = failed
		}
	}
	f.stir()
}

// end is take where no completion will come.
func (f *feed) end(status Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isEnd, f.err = true, &Error{Status: status, Flags: status.Flags()}
	f.stir()
}

func (f *feed) stir() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// next takes the pages that wait. None, without an error, says that the feed was cut off and all of it was taken.
func (f *feed) next(ctx context.Context) ([]ChangePage, error) {
	for {
		if ctx.Err() != nil {
			return nil, interrupted(ctx, false)
		}
		f.mu.Lock()
		pages, isEnd, err := f.pages, f.isEnd, f.err
		f.pages = nil
		f.mu.Unlock()
		if len(pages) > 0 {
			return pages, nil
		}
		if isEnd {
			return nil, err
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil, interrupted(ctx, false)
		}
	}
}

// leave ends a feed that nobody follows any more. Its last completions come to nobody.
func (f *feed) leave() {
	_ = f.node.with(func(handle *C.quorate_node) C.quorate_status {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.isOff, f.pages = true, nil
		if f.isCut || f.isEnd {
			return C.QUORATE_OK
		}
		f.isCut = true
		return C.quorate_unwatch(handle, C.uint64_t(f.tag))
	})
}

// watch begins a feed.
func (n *Node) watch(ctx context.Context, place []byte, options *WatchOptions) (*feed, error) {
	f := &feed{node: n, wake: make(chan struct{}, 1)}
	var call C.quorate_call
	options.Call.native(ctx, false, &call)
	err := n.started(func(handle *C.quorate_node) C.quorate_status {
		n.slots.takeFeed(f)
		status := C.quorate_watch(handle, C.uint32_t(options.Partition), view(place), C.uint32_t(options.Limit), &call,
			C.uint64_t(f.tag))
		if status < C.QUORATE_OK {
			n.slots.give(f.tag)
		}
		return status
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Watch follows what changes in this node's copy of a partition, or of all that it holds, until the context ends, the
// loop over it is left, or an error, which is the last. Each write that reaches the copy is told at least once. The
// first page, and any other with a Gap, says to scan.
func (n *Node) Watch(ctx context.Context, options WatchOptions) iter.Seq2[ChangePage, error] {
	return func(yield func(ChangePage, error) bool) {
		place := options.Place
		for {
			f, err := n.watch(ctx, place, &options)
			if err == nil {
				place, err = f.follow(ctx, place, yield)
			}
			if err != nil {
				if err != errLeft {
					yield(ChangePage{}, err)
				}
				return
			}
		}
	}
}

// errLeft says that the loop over a feed was left.
var errLeft = errors.New("left")

// follow shows the pages of a feed until it is cut off; returns the place behind the last one.
func (f *feed) follow(ctx context.Context, place []byte, yield func(ChangePage, error) bool) ([]byte, error) {
	defer f.leave()
	for {
		pages, err := f.next(ctx)
		if err != nil || len(pages) == 0 {
			return place, err
		}
		for _, page := range pages {
			if !yield(page, nil) {
				return place, errLeft
			}
			place = page.Place
		}
	}
}
