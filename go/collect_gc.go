//go:build quorate_gc

package quorate

import "runtime"

func maybeCollect() { runtime.GC() }
