package quorate

import (
	"context"
	"fmt"
	"testing"
)

func TestAScanShowsEachKeyOnce(t *testing.T) {
	node := single(t, Options{})
	for at := range 200 {
		put(t, node, fmt.Sprintf("%c:%d", 'a'+at%2, at), "x", nil, nil)
	}
	for _, row := range []struct {
		options ScanOptions
		want    int
	}{
		{ScanOptions{}, 200},
		{ScanOptions{Limit: 1000}, 200},
		{ScanOptions{Prefix: []byte("a:")}, 100},
		{ScanOptions{Pattern: []byte("b:*1")}, 20},
	} {
		seen := map[string]int{}
		for key, err := range node.Scan(background, row.options) {
			check(t, err)
			seen[string(key)]++
		}
		for key, times := range seen {
			if times != 1 {
				t.Errorf("%s is shown %d times", key, times)
			}
		}
		if len(seen) != row.want {
			t.Errorf("%+v: %d keys of %d", row.options, len(seen), row.want)
		}
	}
	for range node.Scan(background, ScanOptions{}) {
		break
	}
	over, cancel := context.WithCancel(background)
	cancel()
	for _, err := range node.Scan(over, ScanOptions{}) {
		wanted(t, err, context.Canceled)
	}
	_, err := node.ScanPage(background, []byte("no token"), ScanOptions{})
	wanted(t, err, ErrContext)
}

func TestAFeedTellsEveryChange(t *testing.T) {
	node := single(t, Options{})
	put(t, node, "before", "x", nil, nil)
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	var place []byte
	pages := 0
	for page, err := range node.Watch(ctx, WatchOptions{Partition: AllPartitions}) {
		if pages++; pages == 1 {
			check(t, err)
			if !page.Gap || len(page.Changes) > 0 {
				t.Errorf("it begins with %+v", page)
			}
			put(t, node, "key", "value", nil, nil)
			place = page.Place
			continue
		}
		if err != nil {
			wanted(t, err, context.Canceled)
			break
		}
		if len(page.Changes) != 1 || string(page.Changes[0].Key) != "key" || string(page.Changes[0].Siblings[0].Value) != "value" {
			t.Errorf("of a put it tells %+v", page)
		}
		cancel()
	}
	_, err := node.Delete(background, []byte("key"), nil, nil)
	check(t, err)
	// From a place on, what changed since is told without a gap, as it is now.
	for page, err := range node.Watch(background, WatchOptions{Partition: AllPartitions, Place: place}) {
		check(t, err)
		if page.Gap {
			t.Error("a feed that goes on has a gap")
		}
		if len(page.Changes) > 0 {
			if change := page.Changes[0]; string(change.Key) != "key" || len(change.Siblings) > 0 {
				t.Errorf("of a delete it tells %+v", change)
			}
			break
		}
	}
	for _, err := range node.Watch(background, WatchOptions{Partition: 100000}) {
		wanted(t, err, ErrArgument)
	}
	if !eventually(func() bool { return node.slots.inUse() == 0 }) {
		t.Error("feeds that were left do not end")
	}
}

func TestASlowFollowerMissesNothingAndHoldsUpNobody(t *testing.T) {
	node := single(t, Options{})
	const keys = 20 * pagesKept
	f, err := node.watch(background, nil, &WatchOptions{Partition: AllPartitions, Limit: 1})
	check(t, err)
	// It begins with its first page, which has the gap.
	<-f.wake
	for at := range keys {
		put(t, node, fmt.Sprint(at), "x", nil, nil)
	}
	cut := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.isCut && f.isEnd
	}
	if !eventually(cut) {
		t.Fatal("a feed that nobody takes goes on for ever")
	}
	if len(f.pages) > pagesKept+1 {
		t.Errorf("%d pages wait for a follower", len(f.pages))
	}
	told := map[string]bool{}
	page := func(page ChangePage, err error) bool {
		check(t, err)
		if page.Gap && len(told) > 0 {
			t.Error("there is a gap")
		}
		for _, change := range page.Changes {
			told[string(change.Key)] = true
		}
		return len(told) < keys
	}
	place, err := f.follow(background, nil, page)
	check(t, err)
	if len(told) == 0 || len(told) == keys {
		t.Errorf("%d keys were told before the feed was cut", len(told))
	}
	for next, err := range node.Watch(background, WatchOptions{Partition: AllPartitions, Place: place, Limit: 1}) {
		if !page(next, err) {
			break
		}
	}
	// Through the iterator alone, taken slowly enough that it is cut again and again.
	clear(told)
	for next, err := range node.Watch(background, WatchOptions{Partition: AllPartitions, Place: place, Limit: 1}) {
		put(t, node, fmt.Sprint(len(told)), "y", nil, nil)
		if !page(next, err) {
			break
		}
	}
}
