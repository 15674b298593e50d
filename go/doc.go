// Package quorate embeds a node of a quorate cluster: an always-writable, replicated key-value store.
//
// A program opens a node, starts it, sends requests from as many goroutines as it likes, and closes it:
//
//	node, err := quorate.Open(quorate.Options{Name: "A", Dir: "data"})
//	…
//	err = node.Start()
//	…
//	defer node.Close()
//	answer, err := node.Get(ctx, []byte("cart"), nil)
//
// A read shows siblings: every version that no other one supersedes. It also gives a context, which stands for what
// was shown; a write that carries it replaces that and nothing else. A write without a context adds a sibling.
//
// A context.Context bounds how long a request takes: its deadline goes with the request, and its end ends the wait.
// A write that was sent may have happened all the same, and the error says so ([Uncertain]). The library still
// answers each request, and the package throws away what nobody waits for.
//
// A request costs no thread. Completions are taken by one goroutine of a node, or by one that waits for some, and the
// bytes of an answer are copied into memory of Go. [Node.Batch] sends many requests in one call of C.
package quorate
