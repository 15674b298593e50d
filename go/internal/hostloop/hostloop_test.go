package hostloop

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// On one processor three goroutines drive a node each with budgets of 1 to 64, and one asks: none may keep it from the
// others, and no wake-up may be lost. Each burst is waited for, as a lost one shows only where nothing follows it.
func TestNodesAreDrivenByThePollerOfTheRuntime(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	nodes, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, node := range nodes {
			if err := node.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	for _, node := range nodes {
		for waitFor(t, node, 1) < 1 {
			// Until both have met, a write finds too few replicas.
		}
	}
	bursts := 2000
	if testing.Short() {
		bursts = 200
	}
	for range bursts {
		count := 1 + rand.IntN(32)
		if well := waitFor(t, nodes[rand.IntN(len(nodes))], count); well != count {
			t.Fatalf("%d of %d writes ended well", well, count)
		}
	}
}

// waitFor submits so many writes and waits until they have ended; says how many did well.
func waitFor(t *testing.T, node *Node, count int) int {
	for range count {
		if !node.Put() {
			t.Fatal("a write is not taken")
		}
	}
	well := 0
	for left := count; left > 0; {
		select {
		case ended := <-node.Ended:
			left -= ended.All
			well += ended.Well
		case <-time.After(time.Second):
			t.Fatalf("a stall: %d writes have not ended, none for a second", left)
		}
	}
	return well
}
