package quorate_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"example.org/quorate"
)

// cluster opens three nodes in this process, which meet each other.
func cluster() []*quorate.Node {
	names := []string{"A", "B", "C"}
	var nodes []*quorate.Node
	for _, name := range names {
		node, err := quorate.Open(quorate.Options{Name: name, Members: names, PeerAddr: "127.0.0.1:0", Timeout: 10 * time.Second})
		must(err)
		nodes = append(nodes, node)
	}
	for at, met := range nodes {
		address, err := met.PeerAddr()
		must(err)
		for _, node := range nodes {
			must(node.Meet(names[at], address))
		}
	}
	for _, node := range nodes {
		must(node.Start())
	}
	reach(nodes, 3)
	return nodes
}

// reach waits until each node reaches so many replicas and no more.
func reach(nodes []*quorate.Node, replicas int) {
	for _, node := range nodes {
		for {
			_, enough := node.Get(context.Background(), []byte("nothing"), &quorate.Call{R: replicas})
			more := error(quorate.ErrQuorum)
			if replicas < len(nodes) {
				_, more = node.Get(context.Background(), []byte("nothing"), &quorate.Call{R: replicas + 1})
			}
			if errors.Is(enough, quorate.ErrNotFound) && errors.Is(more, quorate.ErrQuorum) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func closeAll(nodes []*quorate.Node) {
	for _, node := range nodes {
		must(node.Close())
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func show(answer quorate.Answer, err error) {
	must(err)
	for _, sibling := range answer.Siblings {
		fmt.Printf("%s\n", sibling.Value)
	}
}

// One node, in memory.
func Example() {
	node, err := quorate.Open(quorate.Options{})
	must(err)
	defer node.Close()
	must(node.Start())

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = node.Put(ctx, []byte("greeting"), []byte("hello"), nil, nil)
	must(err)
	show(node.Get(ctx, []byte("greeting"), nil))
	_, err = node.Get(ctx, []byte("nothing"), nil)
	fmt.Println(errors.Is(err, quorate.ErrNotFound))
	// Output:
	// hello
	// true
}

// Two clients go on from the same read, on two nodes; neither write is lost. Whoever reads both writes back what
// they mean together.
func ExampleNode_Put() {
	ctx := context.Background()
	nodes := cluster()
	defer closeAll(nodes)
	key := []byte("basket")
	_, err := nodes[0].Put(ctx, key, []byte("bread"), nil, nil)
	must(err)

	seen, err := nodes[1].Get(ctx, key, nil)
	must(err)
	_, err = nodes[1].Put(ctx, key, []byte("butter"), seen.Context, nil)
	must(err)
	_, err = nodes[2].Put(ctx, key, []byte("cheese"), seen.Context, nil)
	must(err)

	both, err := nodes[0].Get(ctx, key, nil)
	must(err)
	fmt.Println(len(both.Siblings), "siblings")
	_, err = nodes[0].Put(ctx, key, []byte("butter and cheese"), both.Context, nil)
	must(err)
	show(nodes[2].Get(ctx, key, nil))
	// Output:
	// 2 siblings
	// butter and cheese
}

// A stock of ten is sold from on both sides of a cut.
func ExampleNode_Add() {
	ctx := context.Background()
	nodes := cluster()
	defer closeAll(nodes)
	stock, alone := []byte("stock"), &quorate.Call{W: 1}
	_, err := nodes[0].Put(ctx, stock, []byte("10"), nil, &quorate.Call{W: 3})
	must(err)
	isolate := func(on bool) {
		for _, node := range nodes {
			must(node.Isolate(on))
		}
	}
	isolate(true)
	reach(nodes, 1)
	show(nodes[0].Add(ctx, stock, -2, 1001, alone))
	show(nodes[1].Add(ctx, stock, -3, 0, alone))
	// The first answer was lost, say: the same again at the same node counts once.
	show(nodes[0].Add(ctx, stock, -2, 1001, alone))
	isolate(false)
	reach(nodes, 3)
	show(nodes[2].Get(ctx, stock, nil))
	// Output:
	// 8
	// 7
	// 8
	// 5
}

// Many requests at once: in one call of C, and from many goroutines.
func ExampleNode_Batch() {
	ctx := context.Background()
	node, err := quorate.Open(quorate.Options{})
	must(err)
	defer node.Close()
	must(node.Start())
	var ops []quorate.Op
	for at := range 100 {
		ops = append(ops, quorate.Op{Kind: quorate.OpPut, Key: fmt.Appendf(nil, "key %d", at), Value: []byte("x")})
	}
	for _, result := range node.Batch(ctx, ops) {
		must(result.Err)
	}
	ends := make(chan error)
	for at := range 100 {
		go func() {
			_, err := node.Get(ctx, fmt.Appendf(nil, "key %d", at), nil)
			ends <- err
		}()
	}
	for range 100 {
		must(<-ends)
	}
	keys := 0
	for _, err := range node.Scan(ctx, quorate.ScanOptions{}) {
		must(err)
		keys++
	}
	fmt.Println(keys, "keys")
	// Output: 100 keys
}

// A copy of a keyspace that is kept up to date: the feed begins first, a scan shows what it cannot tell.
func ExampleNode_Watch() {
	ctx := context.Background()
	node, err := quorate.Open(quorate.Options{})
	must(err)
	defer node.Close()
	must(node.Start())
	put := func(key, value string) {
		_, err := node.Put(ctx, []byte(key), []byte(value), nil, &quorate.Call{Blind: quorate.BlindSupersede})
		must(err)
	}
	put("stock:1", "10")
	for page, err := range node.Watch(ctx, quorate.WatchOptions{Partition: quorate.AllPartitions}) {
		must(err)
		if page.Gap {
			for key, err := range node.Scan(ctx, quorate.ScanOptions{}) {
				must(err)
				fmt.Printf("there is %s\n", key)
			}
			put("stock:2", "5")
		}
		for _, change := range page.Changes {
			fmt.Printf("%s is %s now\n", change.Key, change.Siblings[0].Value)
		}
		if len(page.Changes) > 0 {
			break
		}
	}
	// Output:
	// there is stock:1
	// stock:2 is 5 now
}
