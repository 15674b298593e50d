package quorate

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestTheLogGoesToSlog(t *testing.T) {
	var lines bytes.Buffer
	node := single(t, Options{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	check(t, node.Isolate(true))
	check(t, node.Close())
	for _, want := range []string{"level=WARN msg=\"cut off from all others, as it was asked to be\" target=node", "level=INFO msg=stopping"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log lacks %s: %s", want, &lines)
		}
	}
}

func TestMembersAndOwners(t *testing.T) {
	nodes := three(t)
	members, err := nodes[0].Members()
	check(t, err)
	if len(members.List) != 3 || members.List[1].Name != "B" || !members.List[0].IsSelf || !members.List[2].IsUp {
		t.Errorf("the members are %+v", members.List)
	}
	owners, partition, err := members.Owners([]byte("key"), 0)
	check(t, err)
	if len(owners) != 3 || partition >= 256 || owners[0] == owners[1] {
		t.Errorf("%v hold partition %d", owners, partition)
	}
	_, _, err = members.Owners([]byte("key"), 60000)
	wanted(t, err, ErrArgument)
	stats, err := nodes[0].Stats()
	check(t, err)
	if _, has := stats["store_segments"]; stats["requests"] == 0 || has {
		t.Errorf("the counters of a node in memory are %v", stats)
	}
	closed(t, nodes[0])
	_, err = nodes[0].Members()
	wanted(t, err, ErrClosed)
	_, err = nodes[0].Stats()
	wanted(t, err, ErrClosed)
}

func TestOptionsAreExplained(t *testing.T) {
	for _, row := range []struct {
		options Options
		status  Status
		text    string
	}{
		{Options{More: map[string]string{"colour": "red"}}, ErrUnsupported, "colour"},
		{Options{More: map[string]string{"sync": "never"}}, ErrArgument, "always"},
		{Options{N: -1}, ErrArgument, "from 1 to 16"},
		{Options{Name: "X", Members: []string{"A", "B"}}, ErrArgument, ""},
		{Options{PeerAddr: "203.0.113.1:1", More: map[string]string{"allow-open-bind": "1"}}, ErrArgument, "203.0.113.1:1"},
	} {
		node, err := Open(row.options)
		wanted(t, err, row.status)
		if node != nil || err == nil || !strings.Contains(err.Error(), row.text) {
			t.Errorf("%+v: %v", row.options, err)
		}
	}
}

func TestADirectoryIsOpenOnceAndKeepsItsKeys(t *testing.T) {
	dir := t.TempDir()
	node := single(t, Options{Dir: dir, More: map[string]string{"sync": "always"}})
	put(t, node, "key", "value", nil, &Call{DW: 1})
	_, err := Open(Options{Dir: dir})
	wanted(t, err, ErrBusy)
	if records, err := node.Figure(Records); err != nil || records > 1 {
		t.Errorf("%d records, %v", records, err)
	}
	_, err = node.Figure(999)
	wanted(t, err, ErrUnsupported)
	check(t, node.Shutdown(time.Second))
	again := single(t, Options{Dir: dir})
	shows(t, again, "key", "value")
	check(t, again.Close())
	_, err = Open(Options{Dir: "/proc/no/such"})
	wanted(t, err, ErrIO)
	if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EPERM) {
		t.Errorf("the reason is missing: %v", err)
	}
}

func TestANodeNotStartedTakesNoRequests(t *testing.T) {
	node, err := Open(Options{})
	check(t, err)
	_, err = node.Get(background, []byte("key"), nil)
	wanted(t, err, ErrState)
	wanted(t, node.Batch(background, []Op{{Kind: OpGet}})[0].Err, ErrState)
	_, err = node.ClientAddr(0)
	wanted(t, err, ErrArgument)
	check(t, node.Close())
	wanted(t, node.Close(), ErrClosed)
	wanted(t, node.Start(), ErrClosed)
}

func TestClosingWhileBusyEndsEverything(t *testing.T) {
	for round := range 10 {
		nodes := three(t)
		node := nodes[0]
		if round%2 == 1 {
			// Nobody answers, so there is much in flight.
			isolate(t, nodes[1:], true)
		}
		var all sync.WaitGroup
		var begun, ended atomic.Int64
		for worker := range 16 {
			all.Go(func() {
				key := fmt.Appendf(nil, "key %d", worker)
				for {
					begun.Add(1)
					_, err := node.Put(background, key, []byte("value"), nil, &Call{Blind: BlindSupersede, W: 3})
					if err == nil {
						err = errors.Join(node.Batch(background, []Op{{Kind: OpGet, Key: key}, {Kind: OpGet, Key: key}})[1].Err)
					}
					if errors.Is(err, ErrClosed) {
						ended.Add(1)
						return
					}
				}
			})
		}
		all.Go(func() {
			for _, err := range node.Watch(background, WatchOptions{Partition: AllPartitions}) {
				if err != nil {
					wanted(t, err, ErrClosed)
					return
				}
			}
			t.Error("a feed ended without a reason")
		})
		eventually(func() bool { return begun.Load() >= 16 })
		check(t, node.Shutdown(time.Duration(round%3)*time.Millisecond))
		all.Wait()
		if ended.Load() != 16 {
			t.Errorf("%d of 16 were told", ended.Load())
		}
		for _, node := range nodes {
			closed(t, node)
		}
	}
}

// TestNothingOfTheHeaderIsMissing compares the constants of quorate.h with those that the package names.
func TestNothingOfTheHeaderIsMissing(t *testing.T) {
	header, err := os.ReadFile("../include/quorate.h")
	check(t, err)
	var source strings.Builder
	files, err := os.ReadDir(".")
	check(t, err)
	for _, file := range files {
		if strings.HasSuffix(file.Name(), ".go") && !strings.HasSuffix(file.Name(), "_test.go") {
			text, err := os.ReadFile(file.Name())
			check(t, err)
			source.Write(text)
		}
	}
	defined := regexp.MustCompile(`(?m)^#define QUORATE_((?:E|F|N|VIEW|BLIND|TYPE|ORDER|PHASE|MEMBER|TEXT|FIGURE|CALL)_\w+) \(?(-?\d+)`)
	found := defined.FindAllStringSubmatch(string(header), -1)
	if len(found) < 60 {
		t.Errorf("only %d constants in the header", len(found))
	}
	for _, constant := range found {
		// Functions of Go cannot be registered, so there is no view of theirs.
		if name := constant[1]; name != "VIEW_HOST" && !regexp.MustCompile(`C\.QUORATE_`+name+`\b`).MatchString(source.String()) {
			t.Errorf("%s is missing", name)
		}
	}
	if ErrQuorum.Name() != "E_QUORUM" || ErrQuorum.Flags() != Retriable || !strings.Contains(ErrQuorum.Error(), "replicas") {
		t.Errorf("%s %d %s", ErrQuorum.Name(), ErrQuorum.Flags(), ErrQuorum)
	}
}

func TestOrders(t *testing.T) {
	node := single(t, Options{More: map[string]string{"found": "1", "peer-addr": "127.0.0.1:0"}})
	var cluster Cluster
	if !eventually(func() bool {
		var err error
		cluster, err = node.Order(background, Order{Kind: OrderLook})
		return err == nil && cluster.Phase == PhaseSettled
	}) {
		t.Fatalf("no cluster was founded: %+v", cluster)
	}
	if len(cluster.Members) != 1 || cluster.Members[0].Name != "A" || !cluster.Members[0].IsUp || !cluster.Members[0].IsKeeper {
		t.Errorf("members: %+v", cluster.Members)
	}
	if cluster.Members[0].Partitions != 256 || cluster.Keepers != "A\n" {
		t.Errorf("of itself it says %+v", cluster)
	}
	_, err := node.Order(background, Order{Kind: OrderLeave, Name: "nobody"})
	wanted(t, err, ErrArgument)
	if err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("the reason is missing: %v", err)
	}
	cluster, err = node.Order(background, Order{Kind: OrderWeight, Name: "A", Number: 3})
	check(t, err)
	if cluster.Staged != 1 || cluster.StagedText == "" {
		t.Errorf("nothing is staged: %+v", cluster)
	}
	cluster, err = node.Order(background, Order{Kind: OrderPlan})
	check(t, err)
	if cluster.PlanHash == 0 || cluster.Plan == "" {
		t.Errorf("there is no plan: %+v", cluster)
	}
	_, err = node.Order(background, Order{Kind: OrderCommit, Number: cluster.PlanHash})
	check(t, err)
	_, err = node.Order(background, Order{Kind: 99})
	wanted(t, err, ErrUnsupported)
}
