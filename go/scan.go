package quorate

// #include "bridge.h"
import "C"

import (
	"context"
	"iter"
)

// ScanOptions choose what a scan shows.
type ScanOptions struct {
	Prefix  []byte // how keys begin
	Pattern []byte // which of these are shown, as Redis has patterns; nil for all
	Limit   int    // about how many keys are looked at for a page, at most 1,024; 10 if zero
	Call    *Call
}

// KeyPage is a page of a scan.
type KeyPage struct {
	Keys [][]byte // may be none before the end
	Next []byte   // the token of the next page, at any node; nil if this was the last
	News News     // LayoutChange: partitions moved since the page before
}

// ScanPage shows a page of all keys that have a value, from the token of the page before, or from the begin for nil. A
// key that is there throughout is shown once. After an error the same token may be used again.
func (n *Node) ScanPage(ctx context.Context, token []byte, options ScanOptions) (KeyPage, error) {
	result, err := n.request(ctx, options.Call, false,
		func(handle *C.quorate_node, call *C.quorate_call, tag C.uint64_t) C.quorate_status {
			return C.quorate_scan(handle, view(token), view(options.Prefix), view(options.Pattern),
				C.uint32_t(options.Limit), call, tag)
		})
	page := KeyPage{Next: result.Context, News: result.News}
	if result.more != nil {
		page.Keys = result.more.keys
	}
	return page, err
}

// Scan goes through all keys, page by page. After an error nothing more comes.
func (n *Node) Scan(ctx context.Context, options ScanOptions) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var token []byte
		for {
			page, err := n.ScanPage(ctx, token, options)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, key := range page.Keys {
				if !yield(key, nil) {
					return
				}
			}
			if token = page.Next; token == nil {
				return
			}
		}
	}
}
