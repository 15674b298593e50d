package quorate

import (
	"fmt"
	"testing"

	"example.org/quorate/internal/cbench"
)

// One node in memory, values of 100 bytes, so that what is measured is the way to the library and back. Each case has
// its twin in C, and a batch counts as 64 operations.
func Benchmark(b *testing.B) {
	value := make([]byte, 100)
	for _, isPut := range []bool{true, false} {
		for _, batch := range []int{1, 64} {
			name := fmt.Sprintf("%s/%d", map[bool]string{true: "put", false: "get"}[isPut], batch)
			b.Run(name+"/c", func(b *testing.B) { benchmarkC(b, isPut, batch, value) })
			b.Run(name+"/go", func(b *testing.B) { benchmarkGo(b, isPut, batch, value) })
		}
	}
}

func benchmarkC(b *testing.B, isPut bool, batch int, value []byte) {
	node, ok := cbench.Open()
	if !ok || !node.Run(true, 1, 1, len(value)) {
		b.Fatal("the node in C fails")
	}
	defer node.Close()
	b.ResetTimer()
	if !node.Run(isPut, b.N+batch-1, batch, len(value)) {
		b.Fatal("requests in C fail")
	}
}

func benchmarkGo(b *testing.B, isPut bool, batch int, value []byte) {
	node := single(b, Options{})
	key, call := []byte("key"), &Call{Blind: BlindSupersede}
	put(b, node, "key", string(value), nil, call)
	op := Op{Kind: OpGet, Key: key, Call: call}
	if isPut {
		op = Op{Kind: OpPut, Key: key, Value: value, Call: call}
	}
	ops := make([]Op, batch)
	for at := range ops {
		ops[at] = op
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		var err error
		switch {
		case batch > 1:
			err = node.Batch(background, ops)[batch-1].Err
		case isPut:
			_, err = node.Put(background, key, value, nil, call)
		default:
			_, err = node.Get(background, key, call)
		}
		check(b, err)
	}
}

// TestRequestsAllocateLittle holds the number of allocations, which no machine changes: of a put the context of its
// answer, of a get also the list of its siblings.
func TestRequestsAllocateLittle(t *testing.T) {
	node := single(t, Options{})
	key, value, call := []byte("key"), make([]byte, 100), &Call{Blind: BlindSupersede}
	ops := make([]Op, 64)
	for at := range ops {
		ops[at] = Op{Kind: OpGet, Key: key}
	}
	for _, row := range []struct {
		name  string
		bound float64
		run   func()
	}{
		{"put", 2, func() { node.Put(background, key, value, nil, call) }},
		{"get", 3, func() { node.Get(background, key, nil) }},
		{"batch of 64 gets", 64*2 + 8, func() { node.Batch(background, ops) }},
	} {
		if got := testing.AllocsPerRun(1000, row.run); got > row.bound {
			t.Errorf("%s: %v allocations, over %v", row.name, got, row.bound)
		} else {
			t.Logf("%s: %v allocations", row.name, got)
		}
	}
}
