//go:build !quorate_gc

package quorate

// maybeCollect does nothing. Built with the tag quorate_gc it collects garbage, where that would show a pointer
// that the collector does not know of.
func maybeCollect() {}
