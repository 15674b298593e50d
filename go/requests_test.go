package quorate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSiblingsAreMadeAndResolved(t *testing.T) {
	nodes := three(t)
	put(t, nodes[0], "basket", "bread", nil, nil)
	seen := shows(t, nodes[1], "basket", "bread")
	put(t, nodes[1], "basket", "butter", seen.Context, nil)
	answer := put(t, nodes[2], "basket", "cheese", seen.Context, &Call{W: 3})
	if answer.Asked != 3 || answer.Acked != 3 || answer.Dot == (Dot{}) {
		t.Errorf("of the write it says %+v", answer)
	}
	both := shows(t, nodes[0], "basket", "butter cheese")
	if at := both.Siblings[1].Clock.Time(); time.Since(at).Abs() > time.Hour {
		t.Errorf("it was written at %v", at)
	}
	put(t, nodes[0], "basket", "both", both.Context, nil)
	seen = shows(t, nodes[2], "basket", "both")

	_, err := nodes[1].Delete(background, []byte("basket"), seen.Context, nil)
	check(t, err)
	answer, err = nodes[2].Get(background, []byte("basket"), nil)
	wanted(t, err, ErrNotFound)
	if len(answer.Siblings) > 0 || len(answer.Context) == 0 {
		t.Errorf("of a deleted key it says %+v", answer)
	}
}

func TestAStockIsRightWhenACutEnds(t *testing.T) {
	nodes := three(t)
	alone := &Call{R: 1, W: 1}
	put(t, nodes[0], "counted", "10", nil, &Call{W: 3})
	put(t, nodes[0], "numbers", "10", nil, &Call{W: 3})
	one, two := shows(t, nodes[0], "numbers", "10"), shows(t, nodes[1], "numbers", "10")
	isolate(t, nodes, true)
	waitUntilEachReaches(t, nodes, 1)
	sell := func(node *Node, by int64, id uint64, left string) {
		answer, err := node.Add(background, []byte("counted"), by, id, alone)
		check(t, err)
		if values(answer) != left || answer.Siblings[0].Kind != KindCounter || answer.News&Weak == 0 {
			t.Errorf("%s are left, not %s: %+v", values(answer), left, answer)
		}
	}
	sell(nodes[0], -2, 1001, "8")
	sell(nodes[1], -3, 0, "7")
	sell(nodes[0], -2, 1001, "8")
	for at, left := range []int64{8, 7} {
		_, err := nodes[at].PutNumber(background, []byte("numbers"), left, [][]byte{one.Context, two.Context}[at], alone)
		check(t, err)
	}
	isolate(t, nodes, false)
	waitUntilEachReaches(t, nodes, 3)
	for _, node := range nodes {
		shows(t, node, "counted", "5")
		shows(t, node, "numbers", "5")
	}
}

func TestSetsCountWhatCameAndWent(t *testing.T) {
	node := single(t, Options{})
	members := func(texts ...string) (all [][]byte) {
		for _, text := range texts {
			all = append(all, []byte(text))
		}
		return all
	}
	change := func(call func(context.Context, []byte, [][]byte, *Call) (Answer, error), count uint64, texts ...string) {
		t.Helper()
		answer, err := call(background, []byte("set"), members(texts...), nil)
		check(t, err)
		if answer.Count != count {
			t.Errorf("%v: %d, not %d", texts, answer.Count, count)
		}
	}
	change(node.SetAdd, 3, "milk", "", "tea")
	change(node.SetAdd, 1, "milk", "rice")
	change(node.SetRemove, 2, "milk", "", "bread")
	answer := shows(t, node, "set", "rice tea")
	if answer.Siblings[0].Kind != KindElement {
		t.Errorf("an element is of the type %d", answer.Siblings[0].Kind)
	}
	_, err := node.SetAdd(background, []byte("set"), nil, nil)
	wanted(t, err, ErrArgument)
}

func TestValuesOfEverySizeComeBack(t *testing.T) {
	node := single(t, Options{})
	for _, value := range [][]byte{nil, {}, {0}, bytes.Repeat([]byte("x"), 100), bytes.Repeat([]byte{0, 1, 2}, 4<<20)} {
		key := fmt.Appendf(nil, "%d", len(value))
		supersede := &Call{Blind: BlindSupersede}
		_, err := node.Put(background, key, value, nil, supersede)
		check(t, err)
		results := node.Batch(background, []Op{
			{Kind: OpPut, Key: append(key, 'b'), Value: value, Call: supersede},
			{Kind: OpGet, Key: key},
		})
		check(t, results[0].Err)
		second, err := node.Get(background, append(key, 'b'), nil)
		check(t, err)
		for _, answer := range []Answer{results[1].Answer, second} {
			if len(answer.Siblings) != 1 || !bytes.Equal(answer.Siblings[0].Value, value) || answer.Siblings[0].Value == nil {
				t.Errorf("a value of %d bytes comes back as %d versions", len(value), len(answer.Siblings))
			}
		}
	}
	_, err := node.Put(background, []byte("huge"), make([]byte, 17<<20), nil, nil)
	wanted(t, err, ErrArgument)
	_, err = node.Put(background, []byte("huge"), make([]byte, 65<<20), nil, nil)
	wanted(t, err, ErrLimit)
	_, err = node.Get(background, make([]byte, 1<<17), nil)
	wanted(t, err, ErrLimit)
	for _, key := range [][]byte{nil, {}} {
		_, err = node.Get(background, key, nil)
		wanted(t, err, ErrNotFound)
	}
}

func TestSettingsReachTheLibrary(t *testing.T) {
	node := single(t, Options{})
	put(t, node, "key", "2", nil, nil)
	put(t, node, "key", "30", nil, nil)
	get := func(call Call) (Answer, error) { return node.Get(background, []byte("key"), &call) }
	for view, want := range map[View]string{ViewAll: "2 30", ViewLatest: "30", ViewMin: "2", ViewMax: "30",
		ViewSum: "32", ViewConcat: "230", ViewSetUnion: "2\n30"} {
		answer, err := get(Call{View: view})
		check(t, err)
		if values(answer) != want {
			t.Errorf("view %d shows %q, not %q", view, values(answer), want)
		}
	}
	if answer, _ := get(Call{View: ViewLatest}); answer.News&Hidden == 0 {
		t.Error("siblings were left out without a word")
	}
	if answer, _ := get(Call{NoContext: true}); answer.Context != nil {
		t.Error("a context came that was not asked for")
	}
	_, err := get(Call{View: 999})
	wanted(t, err, ErrUnsupported)
	_, err = get(Call{Keyspace: 9})
	wanted(t, err, ErrNotFound)
	for _, call := range []Call{{R: 2}, {R: -7}, {R: 70000}, {PR: 2}} {
		if _, err = get(call); err == nil {
			t.Errorf("%+v was taken", call)
		}
	}
	_, err = get(Call{PR: None})
	check(t, err)
	_, err = node.Put(background, []byte("key"), nil, nil, &Call{Blind: BlindRefuse})
	wanted(t, err, ErrChanged)
	put(t, node, "short", "x", nil, &Call{TTL: time.Millisecond})
	if !eventually(func() bool {
		_, err := node.Get(background, []byte("short"), nil)
		return errors.Is(err, ErrNotFound)
	}) {
		t.Error("a value does not expire")
	}
}

// slow is a value that no three nodes have before a context that has ended is looked at.
var slow = make([]byte, 8<<20)

func TestAContextEndsTheWait(t *testing.T) {
	nodes := three(t)
	all := &Call{R: 3, W: 3}
	_, err := nodes[0].Put(&endsAtOnce{Context: background}, []byte("key"), slow, nil, all)
	wanted(t, err, context.Canceled, ErrCancelled)
	if flagsOf(err)&Uncertain == 0 {
		t.Errorf("a write was sent and may happen: %v", err)
	}
	if !eventually(func() bool { _, err := nodes[1].Get(background, []byte("key"), nil); return err == nil }) {
		t.Error("what was sent is not done")
	}
	results := nodes[0].Batch(&endsAtOnce{Context: background}, []Op{{Kind: OpPut, Key: []byte("key"), Value: slow, Call: all}})
	wanted(t, results[0].Err, context.Canceled, ErrCancelled)
	if flagsOf(results[0].Err)&Uncertain == 0 {
		t.Errorf("a write of a batch was sent and may happen: %v", results[0].Err)
	}
	// A read may be done before the end is seen; one that is not is never uncertain.
	if !eventually(func() bool {
		_, err = nodes[0].Get(&endsAtOnce{Context: background}, []byte("key"), all)
		return errors.Is(err, context.Canceled)
	}) || flagsOf(err)&Uncertain != 0 {
		t.Errorf("of a read it says %v", err)
	}

	over, cancel := context.WithCancel(background)
	cancel()
	_, err = nodes[0].Put(over, []byte("other"), []byte("value"), nil, nil)
	wanted(t, err, context.Canceled)
	if flagsOf(err)&Uncertain != 0 {
		t.Errorf("a write was not sent: %v", err)
	}
	wanted(t, nodes[0].Batch(over, []Op{{Kind: OpPut, Key: []byte("other")}})[0].Err, context.Canceled)
	_, err = nodes[0].Get(background, []byte("other"), nil)
	wanted(t, err, ErrNotFound)
	// What nobody waits for still ends, and gives its slot back.
	if !eventually(func() bool { return nodes[0].slots.inUse() == 0 }) {
		t.Errorf("%d slots are taken", nodes[0].slots.inUse())
	}
}

// endsAtOnce is a context that ends between the sending of a request and its answer.
type endsAtOnce struct {
	context.Context
	asked bool
}

func (e *endsAtOnce) Done() <-chan struct{} {
	closed := make(chan struct{})
	close(closed)
	return closed
}

func (e *endsAtOnce) Err() error {
	if !e.asked {
		e.asked = true
		return nil
	}
	return context.Canceled
}

func TestTheDeadlineGoesToTheLibrary(t *testing.T) {
	nodes := three(t)
	// The context does not end, so what ends the wait can only be the library.
	limited := deadlineOnly{background, time.Now()}
	_, err := nodes[0].Put(limited, []byte("key"), slow, nil, &Call{W: 3, Timeout: time.Minute})
	wanted(t, err, ErrMaybe, context.DeadlineExceeded)
	results := nodes[0].Batch(limited, []Op{{Kind: OpPut, Value: slow, Call: &Call{W: 3}}})
	wanted(t, results[0].Err, ErrMaybe, context.DeadlineExceeded)
	limited.at = time.Now().Add(time.Hour)
	_, err = nodes[0].Put(limited, []byte("key"), slow, nil, &Call{W: 3, Timeout: 1})
	wanted(t, err, ErrMaybe)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error("it was not the context that ended it")
	}
}

// deadlineOnly says a deadline and never ends.
type deadlineOnly struct {
	context.Context
	at time.Time
}

func (d deadlineOnly) Deadline() (time.Time, bool) { return d.at, true }

func TestABatchEndsAtTheFirstThatIsRefused(t *testing.T) {
	node := single(t, Options{More: map[string]string{"window": "100"}})
	long := make([]byte, 1<<17)
	results := node.Batch(background, []Op{
		{Kind: OpPut, Key: []byte("a"), Value: []byte("1")},
		{Kind: OpGet, Key: []byte("nothing")},
		{Kind: OpPut, Key: long},
		{Kind: OpPut, Key: []byte("b"), Value: []byte("2")},
	})
	check(t, results[0].Err)
	wanted(t, results[1].Err, ErrNotFound)
	wanted(t, results[2].Err, ErrLimit)
	wanted(t, results[3].Err, ErrLimit)
	if _, err := node.Get(background, []byte("b"), nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was behind it was done: %v", err)
	}
	ops := make([]Op, 300)
	for at := range ops {
		ops[at] = Op{Kind: OpPut, Key: fmt.Appendf(nil, "key %d", at), Value: []byte("x")}
	}
	results, done := node.Batch(background, ops), 0
	for at, result := range results {
		if result.Err == nil {
			done++
			continue
		}
		wanted(t, result.Err, ErrOverloaded)
		if flagsOf(result.Err)&Retriable == 0 || at < 100 {
			t.Errorf("request %d: %v", at, result.Err)
		}
	}
	if done < 100 || done == 300 {
		t.Errorf("%d of 300 were done in a window of 100", done)
	}
	if node.Batch(background, nil) != nil {
		t.Error("an empty batch has results")
	}
	wanted(t, node.Batch(background, []Op{{Kind: 77}})[0].Err, ErrUnsupported)
}

func TestManyGoroutinesEachGetTheirOwn(t *testing.T) {
	node := single(t, Options{})
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for round := range rounds {
				key := fmt.Sprintf("%d/%d", worker, round)
				value := strings.Repeat(key, worker)
				put(t, node, key, value, nil, nil)
				shows(t, node, key, value)
				ops := []Op{{Kind: OpGet, Key: []byte(key)}, {Kind: OpGet, Key: []byte("none")}, {Kind: OpGet, Key: []byte(key)}}
				for at, result := range node.Batch(background, ops) {
					if at != 1 && values(result.Answer) != value || at == 1 && !errors.Is(result.Err, ErrNotFound) {
						t.Errorf("%s: result %d of a batch is %q, %v", key, at, values(result.Answer), result.Err)
					}
				}
			}
		})
	}
	all.Wait()
}

func TestContextsAreComparedAndMerged(t *testing.T) {
	nodes := three(t)
	put(t, nodes[0], "basket", "bread", nil, nil)
	seen := shows(t, nodes[1], "basket", "bread")
	put(t, nodes[1], "basket", "butter", nil, nil)
	both := shows(t, nodes[2], "basket", "bread butter")
	for _, row := range []struct {
		one, other []byte
		want       Causality
	}{{nil, nil, Equal}, {nil, seen.Context, Before}, {both.Context, seen.Context, After}, {both.Context, both.Context, Equal}} {
		if order, err := CompareContexts(row.one, row.other); err != nil || order != row.want {
			t.Errorf("%v and %v lie as %d (%v)", row.one, row.other, order, err)
		}
	}
	_, err := CompareContexts([]byte("context"), nil)
	wanted(t, err, ErrContext)
	merged, err := nodes[0].MergeContexts([]byte("basket"), 0, seen.Context, nil, both.Context)
	check(t, err)
	put(t, nodes[0], "basket", "both", merged, nil)
	shows(t, nodes[1], "basket", "both")
	_, err = nodes[0].MergeContexts([]byte("another"), 0, seen.Context)
	wanted(t, err, ErrContext)
	if none, err := nodes[0].MergeContexts([]byte("basket"), 0); err != nil || len(none) > 0 {
		t.Errorf("of none it makes %v (%v)", none, err)
	}
}

// TestWhoeverWaitsTakesCompletions has nobody but the goroutines that wait to take them.
func TestWhoeverWaitsTakesCompletions(t *testing.T) {
	node := single(t, Options{})
	put(t, node, "key", "value", nil, nil)
	node.dispatcher.pause()
	for range 1000 {
		// It may have slept before its completion came, and then only the context ends it.
		ctx, stop := context.WithTimeout(background, 10*time.Millisecond)
		answer, err := node.Get(ctx, []byte("key"), nil)
		stop()
		if err == nil {
			if got := string(answer.Siblings[0].Value); got != "value" {
				t.Fatalf("got %q", got)
			}
			return
		}
	}
	t.Fatal("no request has an end")
}

func TestWaitsThatLookInVainBecomeRare(t *testing.T) {
	d := single(t, Options{}).dispatcher
	d.pause()       // it may not be the one who takes completions now
	w := newWait(1) // of a request that was never sent
	for _, want := range []int{1, 3, 7, 15, 31, 63, 63} {
		d.help(w, nil)
		for skipped := range want {
			if d.skip != want-skipped {
				t.Fatalf("%d waits are to be skipped after %d of %d", d.skip, skipped, want)
			}
			d.help(w, nil)
		}
	}
	// One that has all its completions was not in vain.
	d.help(&wait{}, nil)
	d.help(w, nil)
	if d.skip != 1 {
		t.Fatalf("%d waits are to be skipped", d.skip)
	}
}

func TestWhatComesWhileItsContextEndsSaysSo(t *testing.T) {
	node := single(t, Options{})
	ctx, stop := context.WithCancel(background)
	stop()
	w := newWait(4)
	node.slots.take(w, w.tags)
	defer node.slots.give(w.tags...)
	w.results[1].isBounded = true
	w.set(0, Result{Err: &Error{Status: ErrCancelled}})
	w.set(1, Result{Err: &Error{Status: ErrMaybe}})
	w.set(2, Result{Err: &Error{Status: ErrMaybe}})
	node.leave(ctx, w, func(int) bool { return false })
	wanted(t, w.results[0].Err, ErrCancelled, context.Canceled)
	wanted(t, w.results[1].Err, ErrMaybe, context.DeadlineExceeded)
	wanted(t, w.results[2].Err, ErrMaybe)
	if errors.Is(w.results[2].Err, context.DeadlineExceeded) {
		t.Error("it was not the context that ended it")
	}
	wanted(t, w.results[3].Err, ErrCancelled, context.Canceled)
}

func TestTheShortestLifeEnds(t *testing.T) {
	node := single(t, Options{})
	for _, ttl := range []time.Duration{1, -time.Hour} {
		put(t, node, "key", "value", nil, &Call{TTL: ttl, Blind: BlindSupersede})
		var err error
		for tries := 0; err == nil && tries < 100_000; tries++ {
			_, err = node.Get(background, []byte("key"), nil)
		}
		wanted(t, err, ErrNotFound)
	}
}
