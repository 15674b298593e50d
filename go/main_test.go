package quorate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// background is the context of requests that nobody cancels.
var background = context.Background()

// TestMain fails if the tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) {
	warm()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	code := m.Run()
	if code == 0 && !eventually(func() bool { return runtime.NumGoroutine() <= goroutines && openFiles() <= files }) {
		fmt.Printf("left behind: %d goroutines of %d, %d descriptors of %d\n", runtime.NumGoroutine(), goroutines,
			openFiles(), files)
		code = 1
	}
	os.Exit(code)
}

// warm has the runtime open what it keeps open: its poller.
func warm() {
	read, write, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	read.SetDeadline(time.Now())
	read.Close()
	write.Close()
}

func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries)
}

// eventually says whether something comes true within half a minute.
func eventually(is func() bool) bool {
	for range 3000 {
		if is() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// single is a running node that is a cluster of its own.
func single(t testing.TB, options Options) *Node {
	t.Helper()
	node, err := Open(options)
	check(t, err)
	check(t, node.Start())
	t.Cleanup(func() { closed(t, node) })
	return node
}

// closed closes a node, if the test has not.
func closed(t testing.TB, node *Node) {
	t.Helper()
	if err := node.Close(); err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if left := node.slots.inUse(); left > 0 {
		t.Errorf("%d requests have had no completion", left)
	}
}

// three are the running nodes of a cluster, each of which reaches the others.
func three(t testing.TB) []*Node {
	t.Helper()
	names := []string{"A", "B", "C"}
	var nodes []*Node
	for _, name := range names {
		node, err := Open(Options{Name: name, Members: names, PeerAddr: "127.0.0.1:0", Timeout: 10 * time.Second})
		check(t, err)
		t.Cleanup(func() { closed(t, node) })
		nodes = append(nodes, node)
	}
	for at, met := range nodes {
		address, err := met.PeerAddr()
		check(t, err)
		for _, node := range nodes {
			check(t, node.Meet(names[at], address))
		}
	}
	for _, node := range nodes {
		check(t, node.Start())
	}
	waitUntilEachReaches(t, nodes, 3)
	return nodes
}

// waitUntilEachReaches waits until each node reaches so many replicas and no more.
func waitUntilEachReaches(t testing.TB, nodes []*Node, replicas int) {
	t.Helper()
	for _, node := range nodes {
		reached := eventually(func() bool {
			_, enough := node.Get(background, []byte("nothing"), &Call{R: replicas})
			more := error(ErrQuorum)
			if replicas < len(nodes) {
				_, more = node.Get(background, []byte("nothing"), &Call{R: replicas + 1})
			}
			return errors.Is(enough, ErrNotFound) && errors.Is(more, ErrQuorum)
		})
		if !reached {
			t.Fatalf("a node does not reach %d replicas", replicas)
		}
	}
}

func isolate(t testing.TB, nodes []*Node, on bool) {
	t.Helper()
	for _, node := range nodes {
		check(t, node.Isolate(on))
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wanted fails unless an error is each of those.
func wanted(t testing.TB, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%v, and not %v", err, target)
		}
	}
}

func flagsOf(err error) Flags {
	var failed *Error
	if errors.As(err, &failed) {
		return failed.Flags
	}
	return 0
}

// values are what an answer shows, sorted.
func values(answer Answer) string {
	var all [][]byte
	for _, sibling := range answer.Siblings {
		all = append(all, sibling.Value)
	}
	slices.SortFunc(all, bytes.Compare)
	return string(bytes.Join(all, []byte(" ")))
}

// shows reads a key and compares what it shows.
func shows(t testing.TB, node *Node, key, want string) Answer {
	t.Helper()
	answer, err := node.Get(background, []byte(key), nil)
	check(t, err)
	if got := values(answer); got != want {
		t.Errorf("%s is %q, not %q", key, got, want)
	}
	return answer
}

func put(t testing.TB, node *Node, key, value string, seen []byte, call *Call) Answer {
	t.Helper()
	answer, err := node.Put(background, []byte(key), []byte(value), seen, call)
	check(t, err)
	return answer
}
