//go:build !quorate_static

package hostloop

// #cgo pkg-config: quorate
import "C"
