//go:build !quorate_static

package quorate

// #cgo pkg-config: quorate
import "C"
