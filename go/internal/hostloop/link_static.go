//go:build quorate_static

package hostloop

// The tag chooses between two files, and not between two lines of one: the build cache of Go knows files, and would take
// what was built for the other library.

// #cgo pkg-config: quorate-static
import "C"
