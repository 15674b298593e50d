//go:build !quorate_static

package cbench

// #cgo pkg-config: quorate
import "C"
