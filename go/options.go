package quorate

// #include <quorate.h>
import "C"

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options of a node. What is zero has its default; docs and quorate.h list what there is beside these.
type Options struct {
	Name     string        // of this member
	Dir      string        // the data directory; none keeps records in memory only
	Members  []string      // all members, each NAME@HOST:PORT, or NAME before Meet
	PeerAddr string        // where to serve other members; port 0 takes a free one
	N, R, W  int           // replicas of a key, and how many must answer a read and acknowledge a write
	Timeout  time.Duration // of a request that names none; whole milliseconds
	// Log is given the node's log, by the thread that drives it: its handler may not call the node. Nothing if it is nil.
	Log *slog.Logger
	// More has any other option by the name that it has in the config file, such as "found" or "sync".
	More map[string]string
}

// named are the options that are set, by their names.
func (o *Options) named() map[string]string {
	named := maps.Clone(o.More)
	if named == nil {
		named = map[string]string{}
	}
	set := func(name, value string, isSet bool) {
		if isSet {
			named[name] = value
		}
	}
	set("name", o.Name, o.Name != "")
	set("dir", o.Dir, o.Dir != "")
	set("members", strings.Join(o.Members, ","), len(o.Members) > 0)
	set("peer-addr", o.PeerAddr, o.PeerAddr != "")
	set("n", strconv.Itoa(o.N), o.N != 0)
	set("r", strconv.Itoa(o.R), o.R != 0)
	set("w", strconv.Itoa(o.W), o.W != 0)
	set("timeout-ms", strconv.FormatInt(o.Timeout.Milliseconds(), 10), o.Timeout != 0)
	return named
}

// explained is the error of a call that says in words what is wrong.
func explained(status C.quorate_status, said *C.quorate_error, about string) error {
	if status >= C.QUORATE_OK {
		return nil
	}
	failed := failure(status).(*Error)
	failed.Text, failed.Errno = C.GoString(&said.text[0]), syscall.Errno(said.os_errno)
	if failed.Text == "" {
		failed.Text = about
	}
	return failed
}

// Open opens a node: it checks the options, binds addresses, locks and reads the directory. Nothing drives it before
// [Node.Start].
func Open(options Options) (*Node, error) {
	if found := uint32(C.quorate_version_number()); found < C.QUORATE_VERSION_NUMBER {
		return nil, fmt.Errorf("%w: compiled for %d, the library is %d", ErrUnsupported, C.QUORATE_VERSION_NUMBER, found)
	}
	var native *C.quorate_options
	if err := failure(C.quorate_options_new(C.QUORATE_API_LEVEL, &native)); err != nil {
		return nil, err
	}
	defer C.quorate_options_free(native)
	said := C.quorate_error{struct_size: C.sizeof_quorate_error}
	named := options.named()
	for _, name := range slices.Sorted(maps.Keys(named)) {
		status := C.quorate_options_parse(native, viewString(name), viewString(named[name]), &said)
		if err := explained(status, &said, name); err != nil {
			return nil, err
		}
	}
	if options.Log != nil {
		if err := logTo(native, options.Log); err != nil {
			return nil, err
		}
	}
	var handle *C.quorate_node
	if err := explained(C.quorate_node_open(native, &handle, &said), &said, ""); err != nil {
		return nil, err
	}
	return &Node{handle: handle}, nil
}
